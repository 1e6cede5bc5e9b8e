import { softmax } from '../numerics/softmax';
import { fromHash, initial, MAX_CLASSES, MIN_CLASSES, ownOf, toHash } from './hash';

/** What all panels share, and what the URL holds. Not named `state`: a component that imports that cannot
 *  use the rune $state. */
export const shared = $state(initial());

/** Takes over what a fragment says, but for its language if that is to stay. */
function follow(hash: string, staying = false) {
  const { lang, ...found } = fromHash(hash, shared.z.length);
  Object.assign(shared, found, staying || !lang ? {} : { lang });
  shared.own[shared.panel] = ownOf(hash);
}
follow(globalThis.location?.hash ?? '');

const scaled = $derived(shared.z.map((z) => z / shared.T));
const p = $derived(softmax(shared.z, shared.T));

/** What follows from the state: K, the logits over the temperature, the probabilities. */
export const live = {
  get K() {
    return shared.z.length;
  },
  get scaled() {
    return scaled;
  },
  get p() {
    return p;
  },
};

export function addClass() {
  if (shared.z.length < MAX_CLASSES) shared.z.push(0);
}

export function removeClass() {
  if (shared.z.length <= MIN_CLASSES) return;
  shared.z.pop();
  shared.y = Math.min(shared.y, shared.z.length - 1);
}

/** Exactly K classes: of those there are the first ones stay. */
export function setClasses(K: number) {
  while (shared.z.length < K) addClass();
  while (shared.z.length > K) removeClass();
}

/** Keeps the URL and the shared the same, with an entry in the history for every panel that is opened;
 *  returns what ends that. */
export function followUrl(): () => void {
  // Chromium drops calls of replaceState beyond 200 in 10 s, so not at every frame of a drag.
  const PAUSE = 100;
  const OURS = 'xent'; // an entry that the page wrote; a link's has none
  let timer: ReturnType<typeof setTimeout> | undefined;
  let panel = shared.panel; // of the entry that the history is at
  let known = location.hash;
  const write = () => {
    timer = undefined;
    if (location.hash !== known) return; // somebody followed a link, and hashchange is on its way
    history.replaceState(OURS, '', toHash({ ...shared, panel }));
    known = location.hash;
  };
  const push = () => {
    write(); // Back leads to the state that was left
    panel = shared.panel;
    history.pushState(OURS, '', toHash(shared));
    known = location.hash;
  };
  const read = () => {
    known = location.hash;
    if (known === toHash(shared)) return;
    follow(known, history.state === OURS); // Back leads to an example in any language
    panel = shared.panel;
    write(); // what made no sense in it is mended
  };
  const stop = $effect.root(() => {
    $effect(() => {
      void toHash(shared);
      if (shared.panel !== panel) push();
      else timer ??= setTimeout(write, PAUSE);
    });
  });
  window.addEventListener('hashchange', read);
  return () => {
    stop();
    clearTimeout(timer);
    window.removeEventListener('hashchange', read);
  };
}
