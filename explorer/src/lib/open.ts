import { tick } from 'svelte';
import { shared } from './state.svelte';

/** What a link to a panel does when it is clicked: the panel opens at its top, and its heading takes focus. */
export async function open(event: MouseEvent, id: string) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  shared.panel = id;
  await tick();
  scrollTo(0, 0);
  document.getElementById(`${id}-title`)?.focus();
}
