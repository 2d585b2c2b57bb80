// Colours on the canvas: what is filled, and ink on it that can be read.
import { colour } from '../theme';

type Rgb = readonly [number, number, number];
export interface Ink { readonly fill: string; readonly ink: string; /** The same where the eye is to be led elsewhere. */ readonly faded: string; readonly fadedInk: string }

let probe: CanvasRenderingContext2D | null = null;
/** Any CSS colour as numbers. */
function rgb(css: string): Rgb {
  const hex = /^#([0-9a-f]{6})/i.exec(css)?.[1];
  if (hex) return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)) as unknown as Rgb;
  probe ??= Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true })!;
  probe.fillStyle = css;
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  return [r!, g!, b!];
}
const css = ([r, g, b]: Rgb) => `rgb(${Math.round(r)},${Math.round(g)},${Math.round(b)})`;
const luminance = (of: Rgb) => {
  const [r, g, b] = of.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4)) as unknown as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
/** Black or white, whichever has more contrast: it is 4.58 at least. */
const inkOn = (of: Rgb) => (luminance(of) > 0.179 ? '#000' : '#fff');
const mixed = (a: Rgb, b: Rgb, share: number): Rgb => [0, 1, 2].map((at) => a[at]! * (1 - share) + b[at]! * share) as unknown as Rgb;

/** Of names of variables, or `h` and a hue. Reads the theme, so an effect that calls it follows it. */
export function inks(names: readonly string[]): Ink[] {
  const card = rgb(colour('card'));
  const dark = luminance(card) < 0.2;
  return names.map((name) => {
    const of = /^h\d/.test(name) ? rgb(`hsl(${name.slice(1)} ${dark ? '38% 34%' : '58% 72%'})`) : rgb(colour(name) || '#888888');
    const faded = mixed(of, card, 0.72);
    return { fill: css(of), ink: inkOn(of), faded: css(faded), fadedInk: inkOn(faded) };
  });
}
