import { classColour } from '../../lib/colours';
import { logits, type Model } from '../../numerics/newton';
import { softmax } from '../../numerics/softmax';

const OPACITY = 0.42;

const bytes = (colour: string) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

/** Colours each pixel by softmax(z / T) at its place: the classes' colours, mixed. */
export function shade(canvas: HTMLCanvasElement, model: Model, T: number, pixels: number, most: number) {
  const context = canvas.getContext('2d');
  if (!context) return;
  const image = context.createImageData(pixels, pixels);
  const colours = model.b.map((_, k) => bytes(classColour(k)));
  for (let i = 0, at = 0; i < pixels; i++) {
    const y = most * (1 - (2 * i + 1) / pixels);
    for (let j = 0; j < pixels; j++, at += 4) {
      const p = softmax(logits(model, [most * ((2 * j + 1) / pixels - 1), y]), T);
      p.forEach((share, k) => {
        for (const c of [0, 1, 2]) image.data[at + c] += share * colours[k][c];
      });
      image.data[at + 3] = 255 * OPACITY;
    }
  }
  context.putImageData(image, 0, 0);
}
