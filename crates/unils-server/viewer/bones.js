// Bones that matter to a head, by their names: `mixamorig:Head`, `CC_Base_L_Eye`, `LeftEye`, `neck_01`.

import { FileError, item, multiply } from "./gltf.js";

/** Words at the end of a bone's name that say nothing. */
const NOISE = new Set(["jnt", "joint", "bone", "bind", "x", "m"]);

/** The words of a name, small: split at separators, digits and capitals. */
const words = (name) => (name.slice(0, 200).match(/\p{Lu}+\p{Ll}*|\p{L}+?(?=\P{L}|\p{Lu}|$)/gu) ?? []).map((word) => word.toLowerCase());

/** `head`, `neck`, `left` or `right` (eyes), or null. */
export function boneOf(name) {
  const all = words(name ?? "");
  while (NOISE.has(all.at(-1))) all.pop();
  const last = all.at(-1);
  if (last === "head" || last === "neck") return last;
  if (/^(lefteye|eyeleft|leye)$/.test(last)) return "left";
  if (/^(righteye|eyeright|reye)$/.test(last)) return "right";
  const side = all.findLastIndex((word) => /^(l|left|r|right)$/.test(word));
  if (side < 0) return null;
  const [word] = all.splice(side, 1);
  if (!/^eye(ball)?$/.test(all.at(-1))) return null;
  return word.startsWith("l") ? "left" : "right";
}

/** The head's bone of a file and what hangs on it. */
export class Skeleton {
  /** `scene` from `placeNodes`. */
  constructor(json, scene) {
    this.scene = scene;
    this.names = (json.nodes ?? []).map(({ name }) => boneOf(name));
    const bones = (kind) => this.names.flatMap((name, index) => (name === kind && json.nodes[index].mesh === undefined ? [index] : []));
    this.head = bones("head").at(-1) ?? bones("neck").at(-1) ?? null;
  }

  *line(index) {
    for (let at = index; at !== null; at = this.scene.parents[at]) yield at;
  }

  /** Whether a node turns with the head. */
  turns(index) {
    return this.head !== null && [...this.line(index)].includes(this.head);
  }

  /** The eye that a node belongs to: its side and the node that turns it. */
  eye(index) {
    for (const at of this.line(index)) {
      const side = this.names[at];
      if (side === "left" || side === "right") return { isLeft: side === "left", node: at };
    }
    return null;
  }
}

const ZERO = new Array(16).fill(0);

/**
 * The skin of a primitive as its joints stand in the file: by vertex a matrix, the share that turns with the head (null
 * where there is no head), and the eye. Null without a skin.
 */
export function readSkin(gltf, skeleton, node, primitive, count) {
  if (node.skin === undefined) return null;
  const { json } = gltf;
  const { joints, inverseBindMatrices } = item(json.skins, node.skin, "skin");
  const binds = inverseBindMatrices === undefined ? null : gltf.read(inverseBindMatrices, 16);
  if (binds && binds.length < joints.length * 16) throw new FileError(`${binds.length / 16} bind matrices for ${joints.length} joints`);
  const places = joints.map((joint, index) => {
    item(json.nodes, joint, "node");
    const world = skeleton.scene.world[joint];
    return binds ? multiply(world, binds.subarray(index * 16, index * 16 + 16)) : world;
  });
  const heads = joints.map((joint) => (skeleton.turns(joint) ? 1 : 0));
  const eyes = joints.map((joint) => skeleton.eye(joint));
  const sets = [0, 1].filter((set) => primitive.attributes[`JOINTS_${set}`] !== undefined && primitive.attributes[`WEIGHTS_${set}`] !== undefined)
    .map((set) => [gltf.read(primitive.attributes[`JOINTS_${set}`], 4, count), gltf.read(primitive.attributes[`WEIGHTS_${set}`], 4, count)]);
  if (!sets.length) return null;
  return (vertex) => {
    const matrix = ZERO.slice();
    let [sum, head, most, eye] = [0, 0, 0, null];
    for (const [which, weights] of sets) {
      for (let at = vertex * 4; at < vertex * 4 + 4; at++) {
        const weight = weights[at];
        if (!(weight > 0)) continue;
        const joint = which[at];
        const place = item(places, joint, "joint");
        for (let i = 0; i < 16; i++) matrix[i] += weight * place[i];
        sum += weight;
        head += weight * heads[joint];
        if (weight > most) [most, eye] = [weight, eyes[joint]];
      }
    }
    if (!sum) return { matrix: null, weight: null, eye: null };
    return { matrix: matrix.map((value) => value / sum), weight: skeleton.head === null ? null : Math.min(head / sum, 1), eye };
  };
}
