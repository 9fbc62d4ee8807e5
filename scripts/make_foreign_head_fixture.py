"""Writes fixtures/heads/: three small heads as other programs write them, and what must be read from them.

Needs numpy. Everything follows from the numbers below; the files are the same every time.

    python scripts/make_foreign_head_fixture.py
"""

import base64
import json
import struct
from pathlib import Path

import numpy as np

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "heads"
TYPES = {np.dtype("int8"): 5120, np.dtype("uint8"): 5121, np.dtype("int16"): 5122, np.dtype("uint16"): 5123,
         np.dtype("uint32"): 5125, np.dtype("float32"): 5126}


class File:
    """A glTF document and its buffer."""

    def __init__(self):
        self.bin = b""
        self.json = {"asset": {"version": "2.0", "generator": "by hand"}, "bufferViews": [], "accessors": [],
                     "nodes": [], "meshes": []}

    def view(self, data, stride=None):
        self.bin += b"\0" * (-len(self.bin) % 4)
        view = {"buffer": 0, "byteOffset": len(self.bin), "byteLength": len(data)}
        if stride:
            view["byteStride"] = stride
        self.bin += data
        self.json["bufferViews"].append(view)
        return len(self.json["bufferViews"]) - 1

    def accessor(self, array, normalized=False, pad=0):
        """`pad` bytes between elements, as alignment asks for small types."""
        array = np.ascontiguousarray(array)
        width = 1 if array.ndim == 1 else array.shape[1]
        size = width * array.itemsize
        rows = [array[i].tobytes() + b"\xee" * pad for i in range(len(array))]
        view = self.view(b"".join(rows), size + pad if pad else None)
        return self.add_accessor({"bufferView": view}, array, normalized, width)

    def sparse(self, array, normalized=False):
        """Only the elements that are not zero."""
        rows = np.flatnonzero(np.any(array != 0, axis=1))
        indices = self.view(rows.astype(np.uint8).tobytes())
        values = self.view(np.ascontiguousarray(array[rows]).tobytes())
        place = {"sparse": {"count": len(rows), "indices": {"bufferView": indices, "componentType": 5121},
                            "values": {"bufferView": values}}}
        return self.add_accessor(place, array, normalized, array.shape[1])

    def add_accessor(self, accessor, array, normalized, width):
        accessor |= {"componentType": TYPES[array.dtype], "count": len(array),
                     "type": {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[width]}
        if normalized:
            accessor["normalized"] = True
        if width == 3:
            accessor |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        self.json["accessors"].append(accessor)
        return len(self.json["accessors"]) - 1

    def node(self, **fields):
        self.json["nodes"].append(fields)
        return len(self.json["nodes"]) - 1

    def mesh(self, name, primitive, targets=None, names=None):
        if targets:
            primitive["targets"] = [{"POSITION": target} for target in targets]
        mesh = {"name": name, "primitives": [primitive]}
        if names:
            mesh["extras"] = {"targetNames": names}
        self.json["meshes"].append(mesh)
        return len(self.json["meshes"]) - 1

    def glb(self):
        self.json["buffers"] = [{"byteLength": len(self.bin)}]
        text = json.dumps(self.json).encode()
        text += b" " * (-len(text) % 4)
        data = self.bin + b"\0" * (-len(self.bin) % 4)
        head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(data))
        return head + struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data


def grid(side=5, width=0.14, height=0.2, bottom=1.5, front=0.1):
    """A bulging square: positions in metres, and triangles."""
    u, v = np.meshgrid(np.linspace(-0.5, 0.5, side), np.linspace(0, 1, side))
    z = front - 0.1 * (u**2 + (v - 0.5) ** 2)
    positions = np.stack([width * u, bottom + height * v, z], -1).reshape(-1, 3)
    faces = []
    for row in range(side - 1):
        for column in range(side - 1):
            a = row * side + column
            faces += [[a, a + 1, a + side], [a + 1, a + side + 1, a + side]]
    return positions, np.array(faces)


def tetrahedron(center, size=0.01):
    corners = np.array([[0, 0, 1], [1, -1, 0], [-1, -1, 0], [0, 1, -0.5]]) * size + center
    return corners, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def moves(positions, *rows_and_delta):
    delta = np.zeros_like(positions)
    for rows, by in rows_and_delta:
        delta[rows] = by
    return delta


def expected(path, **facts):
    def plain(value):
        return np.round(value, 7).tolist() if isinstance(value, np.ndarray) else value

    with open(path, "w", encoding="utf-8", newline="\n") as file:
        json.dump({key: plain(value) for key, value in facts.items()}, file, indent=None)
        file.write("\n")


def sparse_expected(delta):
    rows = np.flatnonzero(np.any(delta != 0, axis=1))
    return {"vertices": rows.tolist(), "deltas": np.round(delta[rows], 7).tolist()}


def skinned():
    """A whole avatar's head: quantised, sparse, skinned to an armature in centimetres, prefixed names, teeth with
    targets of their own, eyes on bones, a collider to hide."""
    file = File()
    file.json |= {"extensionsUsed": ["KHR_mesh_quantization"], "extensionsRequired": ["KHR_mesh_quantization"]}
    positions, faces = grid()
    shapes = {
        "ARKit_EyeBlink_L": moves(positions, ([18, 19, 23], [0, -0.01, 0.002])),
        "ARKit_eyeBlink_R": moves(positions, ([15, 16, 21], [0, -0.01, 0.002])),
        "head_JawOpen": moves(positions, (slice(0, 8), [0, -0.03, -0.005])),
        "MouthSmileLeft": moves(positions, ([8, 9], [0.01, 0.005, 0])),
        "viseme_aa": moves(positions, ([2], [0, -0.02, 0])),
    }
    # Whole centimetres in 16 bits: position = 0.01 * (integer / 32767 * 20 + (0, 160, 0)).
    span, middle = 20.0, np.array([0.0, 160.0, 0.0])
    dequantise = np.diag([span, span, span, 1.0])
    dequantise[:3, 3] = middle
    quantised = np.round((positions * 100 - middle) / span * 32767).astype(np.int16)
    # Displacements have half the bits, sparse where little moves.
    deltas = {name: np.round(delta * 100 / span * 32767).astype(np.int16) for name, delta in shapes.items()}
    targets = [file.accessor(delta, True, pad=2) if i % 2 else file.sparse(delta, True)
               for i, delta in enumerate(deltas.values())]
    # The two lowest rows hang on the shoulders in part.
    head_weight = np.clip((positions[:, 1] - 1.5) * 20, 0, 1)
    head_weight = np.round(head_weight * 255) / 255
    weights = np.round(np.stack([1 - head_weight, head_weight, 0 * head_weight, 0 * head_weight], -1) * 255)
    joints = np.tile(np.array([0, 1, 0, 0], np.uint8), (len(positions), 1))
    primitive = {
        "attributes": {
            "POSITION": file.accessor(quantised, True, pad=2),
            "NORMAL": file.accessor(np.tile(np.array([0, 0, 127], np.int8), (len(positions), 1)), True, pad=1),
            "COLOR_0": file.accessor(np.tile(np.array([255, 51, 0, 255], np.uint8), (len(positions), 1)), True),
            "JOINTS_0": file.accessor(joints),
            "WEIGHTS_0": file.accessor(weights.astype(np.uint8), True),
        },
        "indices": file.accessor(faces.ravel().astype(np.uint8)),
        "material": 0,
    }
    face = file.mesh("Wolf3D_Head", primitive, targets, list(shapes))
    file.json["materials"] = [
        {"name": "Skin", "pbrMetallicRoughness": {"baseColorFactor": [0.5, 0.25, 0.125, 1], "metallicFactor": 0}},
        {"name": "Glass", "alphaMode": "BLEND", "pbrMetallicRoughness": {"baseColorFactor": [1, 1, 1, 0]}},
    ]
    teeth_at, teeth_faces = tetrahedron(np.array([0, 1.54, 0.08]))
    open_teeth = moves(teeth_at, (slice(0, 4), [0, -0.02, 0]))
    local = (teeth_at - [0, 1.55, 0.0]) * 100
    teeth = file.mesh(
        "Wolf3D_Teeth",
        {"attributes": {"POSITION": file.accessor(local.astype(np.float32))},
         "indices": file.accessor(teeth_faces.ravel().astype(np.uint16))},
        [file.accessor((open_teeth * 100).astype(np.float32))], ["jawOpen"])
    # Armature of centimetres, turned: its z is up.
    up = [-np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)]
    turned = lambda p: [p[0] * 100, -p[2] * 100, p[1] * 100]  # noqa: E731
    back = [np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)]
    eyes_at = {"LeftEye": np.array([0.03, 1.65, 0.08]), "RightEye": np.array([-0.03, 1.65, 0.08])}
    eye_meshes, eye_nodes = {}, []
    pivot = np.array([0, 1.55, 0.0])
    for name, at in eyes_at.items():
        corners, eye_faces = tetrahedron(np.zeros(3))
        primitive = {"attributes": {"POSITION": file.accessor((corners * 100).astype(np.float32))},
                     "indices": file.accessor(eye_faces.ravel().astype(np.uint32))}
        eye_meshes[name] = file.node(name=name + "_Mesh", mesh=file.mesh("Wolf3D_" + name, primitive))
        eye_nodes.append(file.node(name=name, translation=((at - pivot) * 100).tolist(),
                                   children=[eye_meshes[name]]))
    teeth_node = file.node(name="Teeth", mesh=teeth)
    glass_at, glass_faces = tetrahedron(np.array([0, 0.1, 0.2]), 1.0)
    glass = file.mesh("Glasses", {"attributes": {"POSITION": file.accessor(glass_at.astype(np.float32))},
                                  "indices": file.accessor(glass_faces.ravel().astype(np.uint8)), "material": 1})
    hull = file.mesh("Head_Collider", {"attributes": {"POSITION": file.accessor(glass_at.astype(np.float32))},
                                       "indices": file.accessor(glass_faces.ravel().astype(np.uint8))})
    extra = [file.node(name="Glasses", mesh=glass), file.node(name="Hull", mesh=hull)]
    head = file.node(name="Head", translation=turned(pivot), rotation=back,
                     children=[teeth_node, *eye_nodes, *extra])
    hips = file.node(name="Hips", children=[head])
    armature = file.node(name="Armature", rotation=up, scale=[0.01] * 3, children=[hips])

    def matrix(t, q, s):
        x, y, z, w = q
        m = np.eye(4)
        m[:3, :3] = np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                              [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                              [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]) * s
        m[:3, 3] = t
        return m

    hips_world = matrix([0, 0, 0], up, 0.01)
    head_world = hips_world @ matrix(turned(pivot), back, 1.0)
    metres = np.diag([0.01, 0.01, 0.01, 1.0])
    binds = [np.linalg.inv(world) @ metres @ dequantise for world in (hips_world, head_world)]
    bind = np.stack([m.T.ravel() for m in binds]).astype(np.float32)
    file.json["skins"] = [{"joints": [hips, head], "inverseBindMatrices": file.accessor(bind)}]
    # The mesh's own place does not count: it is skinned.
    face_node = file.node(name="Wolf3D_Head", mesh=face, skin=0, translation=[5.0, 5.0, 5.0])
    file.json |= {"scenes": [{"nodes": [face_node, armature]}], "scene": 0}
    (OUT / "skinned.glb").write_bytes(file.glb())

    # In the order of the nodes, parents first.
    parts = [positions, teeth_at, *[tetrahedron(at)[0] for at in eyes_at.values()]]
    first = np.cumsum([0] + [len(part) for part in parts])
    everything = np.concatenate(parts)
    whole = {name: np.zeros_like(everything) for name in
             ["eyeBlinkLeft", "eyeBlinkRight", "jawOpen", "mouthSmileLeft", "viseme_aa"]}
    for name, delta in zip(whole, shapes.values()):
        whole[name][: len(positions)] = delta
    whole["jawOpen"][first[1]:first[2]] = open_teeth
    expected(
        OUT / "skinned.json", positions=everything, pivot=pivot,
        shapes={name: sparse_expected(delta) for name, delta in whole.items()},
        weights=np.concatenate([head_weight, np.ones(12)]),
        triangles=(np.concatenate([f + n for f, n in zip(
            [faces, teeth_faces, tetrahedron(0)[1], tetrahedron(0)[1]], first)])).tolist(),
        eyes=[{"is_left": name == "LeftEye", "center": at.tolist(), "vertices": list(range(start, start + 4))}
              for (name, at), start in zip(eyes_at.items(), first[2:])],
        parts=["Wolf3D_Head", "Teeth", "LeftEye_Mesh", "RightEye_Mesh"],
        missing=52 - 8 - 4)


def split():
    """A head of plain nodes in centimetres: text with its numbers inside, mirrored, halves of shapes, a strip."""
    file = File()
    positions, faces = grid(bottom=-0.1)
    shapes = {
        "Fcl_BRW.browInnerUp_L": moves(positions, ([22, 23], [0, 0.01, 0])),
        "Fcl_BRW.browInnerUp_R": moves(positions, ([21, 22], [0, 0.01, 0])),
        "cheekPuff.L": moves(positions, ([13], [0, 0, 0.02])),
        "cheekPuff.R": moves(positions, ([11], [0, 0, 0.02])),
        "jaw-open": moves(positions, ([0, 1, 2, 3, 4], [0, -0.02, 0])),
        "JAWOPEN": moves(positions, ([12], [0, -0.5, 0])),
        "eyeLookUpLeft": moves(positions, ([18], [0, 0.01, 0])),
    }
    mirror = np.array([-100.0, 100.0, 100.0])
    primitive = {
        "attributes": {"POSITION": file.accessor((positions * mirror).astype(np.float32))},
        # Mirrored, the front is the other way about.
        "indices": file.accessor(faces[:, ::-1].ravel().astype(np.uint16)),
        "mode": 4,
    }
    targets = [file.accessor((delta * mirror).astype(np.float32)) for delta in shapes.values()]
    primitive["targets"] = [{"POSITION": target} for target in targets]
    # Some exporters put the names here.
    primitive["extras"] = {"targetNames": list(shapes)}
    mesh = file.mesh("face", primitive)
    flip = [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    face = file.node(name="face", mesh=mesh, matrix=flip)
    strip_at = np.array([[-0.02, 0, 0.05], [-0.02, 0.01, 0.05], [0, 0, 0.05], [0, 0.01, 0.05], [0.02, 0, 0.05]])
    strip = file.mesh("teeth", {"attributes": {"POSITION": file.accessor((strip_at * 100).astype(np.float32))},
                                "mode": 5})
    teeth = file.node(name="teeth", mesh=strip)
    file.json["scenes"] = [{"nodes": [face, teeth]}]
    data = "data:application/octet-stream;base64," + base64.b64encode(file.bin).decode()
    file.json["buffers"] = [{"byteLength": len(file.bin), "uri": data}]
    with open(OUT / "split.gltf", "w", encoding="utf-8", newline="\n") as out:
        json.dump(file.json, out)
    everything = np.concatenate([positions, strip_at])
    parts = list(shapes.values())
    whole = {"browInnerUp": parts[0] + parts[1], "cheekPuff": parts[2] + parts[3], "jawOpen": parts[4],
             "eyeLookUpLeft": parts[6]}
    strip_faces = [[25, 26, 27], [27, 26, 28], [27, 28, 29]]
    expected(OUT / "split.json", positions=everything,
             shapes={name: sparse_expected(delta) for name, delta in whole.items()},
             triangles=faces.tolist() + strip_faces, weights=[], eyes=[], parts=["face", "teeth"], missing=48)


def sparse():
    """ICT's form: quads with texture seams, parts by material, displacements of few vertices, centimetres."""
    folder = OUT / "sparse"
    folder.mkdir(exist_ok=True)
    positions, _ = grid(bottom=-0.1)
    lines = ["# a small head"] + ["v {:.5f} {:.5f} {:.5f}".format(*(100 * p)) for p in positions]
    lines += [f"vt {u / 4:.2f} {v / 4:.2f}" for v in range(5) for u in range(5)] + ["vt 0.99 0.01"]
    lines.append("usemtl M_Face")
    for row in range(4):
        if row == 3:
            lines.append("usemtl M_EyeLashes")
        for column in range(4):
            a = row * 5 + column + 1
            corners = [a, a + 1, a + 6, a + 5]
            # The first corner of all is a seam: its place has two texture coordinates.
            uvs = [26 if (row, column) == (0, 0) and c == a else c for c in corners]
            lines.append("f " + " ".join(f"{c}/{uv}" for c, uv in zip(corners, uvs)))
    lines += ["usemtl M_Teeth", "f 1/1 2/2 7/7"]
    with open(folder / "neutral.obj", "w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(lines) + "\n")
    shapes = {"jawOpen": ([0, 1, 6], [0, -2, 0]), "eyeBlink_L": ([18], [0, -1, 0.5]),
              "browInnerUp_L": ([17, 18], [0, 1, 0]), "browInnerUp_R": ([16, 17], [0, 1, 0])}
    arrays = {"neutral": (100 * positions).astype(np.float32)}
    for name, (rows, delta) in shapes.items():
        arrays["idx_" + name] = np.array(rows, np.uint32)
        arrays["delta_" + name] = np.tile(np.array(delta, np.float32), (len(rows), 1))
    np.savez(folder / "shapes.npz", **arrays)


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    sparse()
    skinned()
    split()
