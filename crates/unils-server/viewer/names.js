// Shape names of heads made by others, matched to ARKit's 52 as the library matches them: case and separators aside, the
// side written Left, Right, L or R, alone or behind a prefix that ends in a separator.

/** Shapes that ARKit has once and some heads have as two halves. */
const SPLIT = ["browInnerUp", "cheekPuff"];
/** More words than any of Apple's names has. */
const MOST_WORDS = 6;

/** A name without case and separators, its side apart. */
function key(name) {
  const plain = name.replace(/[^\p{L}\p{N}]/gu, "").toLowerCase();
  for (const side of ["left", "right"]) {
    if (plain.endsWith(side)) return { base: plain.slice(0, -side.length), side };
  }
  // A single letter is a side only where it stands out: `_L`, `.l`, or a capital behind a small letter.
  const standsOut = /(?:[^\p{L}\p{N}][lLrR]|\p{Ll}[LR])$/u.test(name);
  if (!standsOut) return { base: plain, side: null };
  return { base: plain.slice(0, -1), side: plain.endsWith("l") ? "left" : "right" };
}

const known = new WeakMap();

function keysOf(channels) {
  if (!known.has(channels)) known.set(channels, channels.map((channel) => ({ channel, ...key(channel) })));
  return known.get(channels);
}

function find(name, channels) {
  const { base, side } = key(name);
  const keys = keysOf(channels);
  const whole = keys.find((one) => one.base === base && one.side === side);
  if (whole) return { shape: whole.channel, half: null };
  const split = side && keys.find((one) => one.base === base && SPLIT.includes(one.channel));
  return split ? { shape: split.channel, half: side } : null;
}

/** What one name may be, and how far it is from Apple's spelling; halves come after wholes. */
function candidate(name, channels) {
  const further = (found, distance) => ({ ...found, distance: distance + (found.half ? 3 : 0) });
  const whole = find(name, channels);
  if (whole) return further(whole, name === whole.shape ? 0 : 1);
  // Prefixes are cut at each of the last separators in turn, the longest first.
  const cuts = [...name.matchAll(/[^\p{L}\p{N}]/gu)].slice(-MOST_WORDS);
  for (const { index, 0: separator } of cuts.reverse()) {
    const rest = name.slice(index + separator.length);
    const found = rest && find(rest, channels);
    if (found) return further(found, 2);
  }
  return null;
}

/** For each shape name of one mesh the channel that it is or a half of, `null` for others, `undefined` for what another says better. */
export function matchNames(names, channels) {
  const candidates = names.map((name) => candidate(name, channels));
  const collide = (a, b) => a.shape === b.shape && (!a.half || !b.half || a.half === b.half);
  return candidates.map((one, index) => {
    if (!one) return null;
    const isBeaten = candidates.some((rival, at) => rival && at !== index && collide(rival, one)
      && (rival.distance < one.distance || (rival.distance === one.distance && at < index)));
    return isBeaten ? undefined : one.shape;
  });
}
