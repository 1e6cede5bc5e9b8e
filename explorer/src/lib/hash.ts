/** The state as the URL's fragment and back: #z=2,1,0.1,-1&y=0&T=1&lang=en&panel=jacobian. */
import { panels } from './panels';

export const MIN_CLASSES = 2;
export const MAX_CLASSES = 10;
export const MIN_T = 0.01;
export const MAX_T = 100;
export const MAX_Z = 1e6; // its quotient by MIN_T, and that squared, stay finite in float32 too

export type Lang = 'en' | 'zh';
export type State = { z: number[]; y: number; T: number; lang: Lang; panel: string };

export const initial = (): State => ({ z: [2, 1, 0.1, -1], y: 0, T: 1, lang: 'en', panel: panels[0].id });

export function toHash({ z, y, T, lang, panel }: State): string {
  return `#z=${z.map(String).join(',')}&y=${y}&T=${T}&lang=${lang}&panel=${panel}`;
}

/** What of the fragment makes sense; the rest keeps its place in the state, which has K classes. */
export function fromHash(hash: string, K = initial().z.length): Partial<State> {
  const given = new URLSearchParams(hash.replace(/^#/, ''));
  const found: Partial<State> = {};
  const z = given.get('z')?.split(',').map(number);
  if (z && z.length >= MIN_CLASSES && z.length <= MAX_CLASSES && z.every((v) => Math.abs(v) <= MAX_Z))
    found.z = z;
  const classes = found.z?.length ?? K;
  const y = number(given.get('y') ?? '');
  if (Number.isInteger(y) && y >= 0 && y < classes) found.y = y;
  else if (found.z) found.y = 0;
  const T = number(given.get('T') ?? '');
  if (T >= MIN_T && T <= MAX_T) found.T = T;
  const lang = given.get('lang');
  if (lang === 'en' || lang === 'zh') found.lang = lang;
  const panel = given.get('panel');
  if (panels.some(({ id }) => id === panel)) found.panel = panel!;
  return found;
}

const number = (text: string) => (text.trim() === '' ? NaN : Number(text));
