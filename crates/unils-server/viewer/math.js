// Three-vectors in flat arrays, and the few matrices that a portrait needs.

export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

export const cross = (a, b) => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];

export const unit = (a) => {
  const length = Math.hypot(a[0], a[1], a[2]) || 1;
  return [a[0] / length, a[1] / length, a[2] / length];
};

/** Rows of `R_y(yaw) R_x(pitch) R_z(roll)`, as the motion space arkit55 composes a head. */
export function headRotation(yaw, pitch, roll) {
  const [sy, cy, sp, cp, sr, cr] = [yaw, pitch, roll].flatMap((a) => [Math.sin(a), Math.cos(a)]);
  return [
    [cy * cr + sy * sp * sr, -cy * sr + sy * sp * cr, sy * cp],
    [cp * sr, cp * cr, -sp],
    [-sy * cr + cy * sp * sr, sy * sr + cy * sp * cr, cy * cp],
  ];
}

/** Column-major 4 x 4 from rows of 3 and an offset. */
export function affine(rows, offset) {
  return new Float32Array([
    rows[0][0], rows[1][0], rows[2][0], 0,
    rows[0][1], rows[1][1], rows[2][1], 0,
    rows[0][2], rows[1][2], rows[2][2], 0,
    offset[0], offset[1], offset[2], 1,
  ]);
}

/** Column-major perspective with a vertical field of view in radians. */
export function perspective(field, aspect, near, far) {
  const focal = 1 / Math.tan(field / 2);
  const depth = 1 / (near - far);
  return new Float32Array([
    focal / aspect, 0, 0, 0,
    0, focal, 0, 0,
    0, 0, (near + far) * depth, -1,
    0, 0, 2 * near * far * depth, 0,
  ]);
}
