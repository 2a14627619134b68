/** Where a pixel can go; -1 where the HTML has no such place. */
export interface PixelPlaces {
  /** After the first `<body …>`. */
  bodyStart: number;
  /** Before the last `</body>`. */
  bodyEnd: number;
  /** Before the last `</html>`. */
  htmlEnd: number;
  /** The last place where appended markup is not swallowed by something unclosed. */
  end: number;
}

// Gmail cuts off what is beyond about 102 kB, the pixel at the end first.
const CLIPPED_BYTES = 100_000;

/** The one place for the pixel. `growth` is what the other changes add to the HTML, in characters. */
export function pixelPosition(html: string, places: PixelPlaces, growth: number): number {
  if (places.bodyStart !== -1 && isClipped(html, growth)) return places.bodyStart;
  if (places.bodyEnd !== -1) return places.bodyEnd;
  return places.htmlEnd === -1 ? places.end : places.htmlEnd;
}

function isClipped(html: string, growth: number): boolean {
  // A character is one to three bytes: most mails need no counting.
  if (html.length + growth > CLIPPED_BYTES) return true;
  return html.length * 3 + growth > CLIPPED_BYTES && Buffer.byteLength(html) + growth > CLIPPED_BYTES;
}
