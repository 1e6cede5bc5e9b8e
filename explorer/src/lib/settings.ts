import { declared } from './hash';
import { shared } from './state.svelte';

/** What a setting may be, and what it is at first. */
type Value = number | string;
type Kind<V> = { initial: V; valid: (value: Value) => boolean };

/** The settings of a panel's own. They stand in the URL while the panel is open, unless they are as at first,
 *  and outlive the panel. To be declared in a module's script, so that all are known when the page starts. */
export function settings<Values extends Record<string, Value>>(
  panel: string,
  kinds: { [K in keyof Values]: Kind<Values[K]> },
): Values {
  const own = {} as Values;
  for (const key of Object.keys(kinds)) {
    const { initial, valid }: Kind<Value> = kinds[key];
    const parsed = (text: string) => (typeof initial === 'number' ? Number(text || NaN) : text);
    declared.set(`${panel}.${key}`, (text) => valid(parsed(text)));
    Object.defineProperty(own, key, {
      get() {
        const text = shared.own[panel]?.[key];
        return text !== undefined && valid(parsed(text)) ? parsed(text) : initial;
      },
      set(value: Value) {
        shared.own[panel] ??= {};
        if (value === initial) delete shared.own[panel][key];
        else shared.own[panel][key] = String(value);
      },
    });
  }
  return own;
}

export const choice = <V extends Value>(initial: V, values: readonly V[]): Kind<V> => ({
  initial,
  valid: (value) => (values as readonly Value[]).includes(value),
});

export const range = (initial: number, least: number, most: number): Kind<number> => ({
  initial,
  valid: (value) => Number(value) >= least && Number(value) <= most,
});

export const whole = (initial: number, most: number): Kind<number> => ({
  initial,
  valid: (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= most,
});

/** Switches, a 1 or a 0 each. */
export const switches = (initial: string): Kind<string> => ({
  initial,
  valid: (value) => String(value).length === initial.length && /^[01]*$/.test(String(value)),
});

/** The switches with one of them set. */
export const switched = (all: string, place: number, on: boolean): string =>
  all.slice(0, place) + (on ? '1' : '0') + all.slice(place + 1);
