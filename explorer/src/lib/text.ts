import { shared } from './state.svelte';
import type { Text } from './types';

/** The text in the page's language. Reactive: read it in markup or in $derived. */
export const t = (text: Text): string => text[shared.lang];
