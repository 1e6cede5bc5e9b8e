import { untrack } from 'svelte';

/** The value of `read`, renewed at most once in `pause` milliseconds: for what costs more than a frame's share
 *  to draw, and nobody reads while it moves. */
export function lagged<T>(read: () => T, pause = 80): { readonly value: T } {
  let value = $state.raw(untrack(read));
  let timer: ReturnType<typeof setTimeout> | undefined;
  const renew = () => {
    timer = undefined;
    value = read();
  };
  $effect(() => {
    const next = read();
    if (timer !== undefined) return;
    value = next;
    timer = setTimeout(renew, pause);
  });
  $effect(() => () => clearTimeout(timer));
  return {
    get value() {
      return value;
    },
  };
}
