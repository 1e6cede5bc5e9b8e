/** Types that more than one module names; it imports none of them, so that imports do not run in a circle. */

export type Lang = 'en' | 'zh';
/** A text in the page's languages. */
export type Text = Record<Lang, string>;
/** The settings of one panel by their keys, as text. */
export type Own = Record<string, string>;
/** What all panels share: logits, label, temperature, language, and the panel that is open. */
export type Shared = { z: number[]; y: number; T: number; lang: Lang; panel: string };
/** All that the URL can hold: what is shared, and each panel's own settings. */
export type State = Shared & { own: Record<string, Own> };
