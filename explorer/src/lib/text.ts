import { shared } from './state.svelte';

export type Text = { en: string; zh: string };

/** The text in the page's language. Reactive: read it in markup or in $derived. */
export const t = (text: Text): string => text[shared.lang];
