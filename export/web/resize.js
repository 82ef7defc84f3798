// Resizing as Pillow does it, bicubic and antialiased, to the bit: the model gets the pixels that Python would give it.
// A canvas resizes in every browser differently, and when it makes a picture small it skips pixels.

const POINT = 22; // bits of a weight behind the binary point

// Keys 1981, with a = -1/2; nothing beyond 2.
function cubic(x) {
  const away = Math.abs(x);
  if (away < 1) return (1.5 * away - 2.5) * away * away + 1;
  return away < 2 ? (((away - 5) * away + 8) * away - 4) * -0.5 : 0;
}

// The weights of each new pixel of a row, and the old one that the first of them is for.
function weightsOf(length, wanted) {
  const scale = length / wanted;
  const wide = Math.max(1, scale); // antialiased: what is made smaller takes in all pixels on its way
  return Array.from({ length: wanted }, (_, at) => {
    const centre = (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * wide + 0.5));
    const end = Math.min(length, Math.trunc(centre + 2 * wide + 0.5));
    const exact = Array.from({ length: end - first }, (_, i) => cubic((first + i - centre + 0.5) * (1 / wide)));
    const sum = exact.reduce((total, each) => total + each, 0);
    const whole = exact.map((each) => Math.trunc((each / sum) * 2 ** POINT + (each < 0 ? -0.5 : 0.5)));
    return { first, weights: Int32Array.from(whole) };
  });
}

// rows length inner → rows wanted inner
function along(pixels, rows, length, inner, wanted) {
  if (length === wanted) return pixels;
  const made = new Uint8ClampedArray(rows * wanted * inner);
  const plan = weightsOf(length, wanted);
  for (let row = 0, to = 0; row < rows; row++)
    for (const { first, weights } of plan)
      for (let from = (row * length + first) * inner, i = 0; i < inner; i++, from++) {
        let sum = 1 << (POINT - 1);
        for (let k = 0, at = from; k < weights.length; k++, at += inner) sum = (sum + pixels[at] * weights[k]) | 0;
        made[to++] = sum >> POINT;
      }
  return made;
}

// height width channels → the wanted [height, width] and as many channels, uint8. For one shape in two sizes: where one
// side grows while the other shrinks, Pillow may take them in the other order.
function resized(pixels, [height, width], wanted) {
  const channels = pixels.length / (height * width);
  if (height > 2 * width && height > wanted[0]) {
    // Pillow makes a tall picture less high first; the bytes between the two passes are rounded, so the order is seen.
    const low = along(pixels, 1, height, width * channels, wanted[0]);
    return new Uint8Array(along(low, wanted[0], width, channels, wanted[1]).buffer);
  }
  const wide = along(pixels, height, width, channels, wanted[1]);
  return new Uint8Array(along(wide, 1, height, wanted[1] * channels, wanted[0]).buffer);
}
