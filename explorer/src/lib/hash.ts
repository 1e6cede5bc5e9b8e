/** The state as the URL's fragment and back: #z=2,1,0.1,-1&y=0&T=1&lang=en&panel=rounding&format=e4m3. */
import { panels } from './panels';
import type { Own, Shared, State } from './types';

export const MIN_CLASSES = 2;
export const MAX_CLASSES = 10;
export const MIN_T = 0.01;
export const MAX_T = 100;
export const MAX_Z = 1e6; // its quotient by MIN_T, and that squared, stay finite in float32 too

/** The settings that there are, as panel.key, and which texts they take. */
export const declared = new Map<string, (text: string) => boolean>();

export const initial = (): State => ({
  z: [2, 1, 0.1, -1],
  y: 0,
  T: 1,
  lang: 'en',
  panel: panels[0].id,
  own: {},
});

export function toHash({ z, y, T, lang, panel, own }: State): string {
  const settings = Object.entries(own[panel] ?? {})
    .filter(([key, text]) => declared.get(`${panel}.${key}`)?.(text))
    .map(([key, text]) => `&${key}=${text}`);
  return `#z=${z.map(String).join(',')}&y=${y}&T=${T}&lang=${lang}&panel=${panel}${settings.join('')}`;
}

/** What of the fragment makes sense; the rest keeps its place in the state, which has K classes. */
export function fromHash(hash: string, K = initial().z.length): Partial<Shared> {
  const given = new URLSearchParams(hash.replace(/^#/, ''));
  const found: Partial<Shared> = {};
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

/** What the fragment says beside the shared state: settings of the panel that it opens. */
export function ownOf(hash: string): Own {
  const given = [...new URLSearchParams(hash.replace(/^#/, ''))];
  return Object.fromEntries(given.filter(([key]) => !['z', 'y', 'T', 'lang', 'panel'].includes(key)));
}

const number = (text: string) => (text.trim() === '' ? NaN : Number(text));
