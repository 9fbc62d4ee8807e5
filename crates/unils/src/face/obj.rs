//! Wavefront OBJ: the part of it that neutral heads use. Positions, texture coordinates, polygons, materials by name.

use std::collections::HashMap;

use super::mesh::{MAX_TRIANGLES, MAX_VERTICES, Material, Part, Vec3};
use crate::motion::shorten;
use crate::{Error, Result};

/// The most corners of a polygon.
const MAX_CORNERS: usize = 64;

/// A mesh as the file has it: polygons cut to triangles, hidden materials left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Obj {
    /// All positions, in the file's order and unit.
    pub positions: Vec<Vec3>,
    uvs: Vec<[f32; 2]>,
    /// The vertices of the mesh: position and texture coordinate, each pair once, by position.
    pub corners: Vec<(u32, Option<u32>)>,
    /// Triangles of `corners`.
    pub triangles: Vec<[u32; 3]>,
    pub parts: Vec<Part>,
}

impl Obj {
    /// Texture coordinates of the corners, the picture's upper left being (0, 0); empty if a corner has none.
    pub(super) fn corner_uvs(&self) -> Vec<[f32; 2]> {
        let uv = |index: Option<u32>| self.uvs.get(index? as usize).map(|[u, v]| [*u, 1.0 - v]);
        self.corners.iter().map(|(_, index)| uv(*index)).collect::<Option<_>>().unwrap_or_default()
    }
}

/// Reads an OBJ file; materials whose names contain one of `hide` are left out.
pub(super) fn parse(bytes: &[u8], place: &str, hide: &[String]) -> Result<Obj> {
    let mut parser = Parser { place, ..Parser::default() };
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        parser.line = number + 1;
        let line = std::str::from_utf8(line).map_err(|_| parser.fail("is not text"))?;
        parser.line(line.trim(), hide)?;
    }
    parser.finish()
}

/// A corner as a polygon names it.
type Corner = (u32, Option<u32>);

#[derive(Default)]
struct Parser<'p> {
    place: &'p str,
    line: usize,
    positions: Vec<Vec3>,
    uvs: Vec<[f32; 2]>,
    /// Materials in the order of their first use, with their triangles.
    materials: Vec<(String, Vec<[Corner; 3]>)>,
    /// The one in use; none while it is hidden.
    current: Option<usize>,
    is_named: bool,
    triangles: usize,
}

impl Parser<'_> {
    fn fail(&self, what: impl std::fmt::Display) -> Error {
        Error::face(format!("{}, line {}", self.place, self.line), what)
            .with_hint("expected a Wavefront .obj of the neutral head")
    }

    fn line(&mut self, line: &str, hide: &[String]) -> Result<()> {
        let (key, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match key {
            "v" => {
                let position = self.numbers(rest)?;
                self.positions.push(position);
            }
            "vt" => {
                let uv = self.numbers(rest)?;
                self.uvs.push(uv);
            }
            "f" => self.face(rest)?,
            "usemtl" => self.use_material(rest.trim(), hide),
            _ => {}
        }
        if self.positions.len() > MAX_VERTICES
            || self.uvs.len() > MAX_VERTICES
            || self.triangles > MAX_TRIANGLES
        {
            return Err(
                self.fail(format!("expected at most {MAX_VERTICES} vertices and {MAX_TRIANGLES} triangles"))
            );
        }
        Ok(())
    }

    /// The first `N` numbers of a line.
    fn numbers<const N: usize>(&self, rest: &str) -> Result<[f32; N]> {
        let mut numbers = [0.0; N];
        let mut words = rest.split_whitespace();
        for number in &mut numbers {
            let word = words.next().ok_or_else(|| self.fail(format!("expected {N} numbers")))?;
            let read = word.parse().ok().filter(|value: &f32| value.is_finite());
            *number = read.ok_or_else(|| self.fail(format!("{:?} is not a finite number", shorten(word))))?;
        }
        Ok(numbers)
    }

    fn use_material(&mut self, name: &str, hide: &[String]) {
        self.is_named = true;
        let small = name.to_lowercase();
        if hide.iter().any(|hidden| small.contains(&hidden.to_lowercase())) {
            self.current = None;
            return;
        }
        let known = self.materials.iter().position(|(known, _)| known == name);
        self.current = Some(known.unwrap_or(self.materials.len()));
        if known.is_none() {
            self.materials.push((name.to_owned(), Vec::new()));
        }
    }

    /// A polygon, cut into a fan.
    fn face(&mut self, rest: &str) -> Result<()> {
        let words = rest.split_whitespace().take(MAX_CORNERS + 1);
        let corners = words.map(|word| self.corner(word)).collect::<Result<Vec<Corner>>>()?;
        if !(3..=MAX_CORNERS).contains(&corners.len()) {
            return Err(
                self.fail(format!("a polygon of {} corners, expected 3 to {MAX_CORNERS}", corners.len()))
            );
        }
        if !self.is_named {
            self.use_material("default", &[]);
        }
        if let Some((_, triangles)) = self.current.and_then(|current| self.materials.get_mut(current)) {
            triangles.extend(corners[1..].windows(2).map(|pair| [corners[0], pair[0], pair[1]]));
            self.triangles += corners.len() - 2;
        }
        Ok(())
    }

    /// `position`, `position/uv` or `position/uv/normal`, counted from 1 or, negative, back from the last.
    fn corner(&self, word: &str) -> Result<Corner> {
        let index = |text: &str, count: usize| -> Option<u32> {
            let number: i64 = text.parse().ok()?;
            let count = i64::try_from(count).ok()?;
            let index = if number < 0 { count.checked_add(number)? } else { number - 1 };
            u32::try_from(index).ok().filter(|&index| i64::from(index) < count)
        };
        let mut fields = word.split('/');
        let position = index(fields.next().unwrap_or_default(), self.positions.len());
        let uv = fields.next().filter(|text| !text.is_empty());
        let uv = uv.map(|text| index(text, self.uvs.len()));
        match (position, uv) {
            (Some(position), None) => Ok((position, None)),
            (Some(position), Some(Some(uv))) => Ok((position, Some(uv))),
            _ => Err(self.fail(format!("the corner {:?} is not there", shorten(word)))),
        }
    }

    fn finish(self) -> Result<Obj> {
        let mut corners: Vec<Corner> =
            self.materials.iter().flat_map(|(_, triangles)| triangles.as_flattened()).copied().collect();
        corners.sort_unstable();
        corners.dedup();
        if corners.is_empty() {
            return Err(Error::face(self.place, "has no polygons to show")
                .with_hint("expected a Wavefront .obj of the neutral head"));
        }
        let places: HashMap<Corner, u32> = corners.iter().copied().zip(0..).collect();
        let mut obj = Obj { positions: self.positions, uvs: self.uvs, ..Obj::default() };
        for (name, triangles) in self.materials.into_iter().filter(|(_, triangles)| !triangles.is_empty()) {
            let start = obj.triangles.len();
            obj.triangles.extend(triangles.iter().map(|three| three.map(|corner| places[&corner])));
            let material = default_material(&name);
            obj.parts.push(Part { name, triangles: start..obj.triangles.len(), material });
        }
        obj.corners = corners;
        Ok(obj)
    }
}

/// What a material of this name usually looks like: OBJ heads come without usable colours.
fn default_material(name: &str) -> Material {
    let small = name.to_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| small.contains(word));
    let (color, roughness) = match () {
        () if is(&["sclera", "eyeball", "eyewhite"]) => ([0.85, 0.83, 0.81, 1.0], 0.2),
        () if is(&["iris"]) => ([0.10, 0.06, 0.04, 1.0], 0.2),
        () if is(&["teeth", "tooth"]) => ([0.80, 0.76, 0.66, 1.0], 0.3),
        () if is(&["gum", "tongue"]) => ([0.45, 0.10, 0.10, 1.0], 0.4),
        () if is(&["lash", "brow", "hair"]) => ([0.03, 0.02, 0.02, 1.0], 0.7),
        () => ([0.60, 0.36, 0.26, 1.0], 0.55),
    };
    let softness = if roughness > 0.5 && color[0] > 0.5 { 0.4 } else { 0.0 };
    Material { name: name.to_owned(), color, roughness, softness, ..Material::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUBE_SIDE: &str = "# a square and a triangle\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n\
        usemtl M_Face\nf 1/1 2/2 3/3 4/4\nusemtl M_EyeLashes\nf 1/1 2/2 3/3\nusemtl M_Teeth\nf -4/1 -3/2 -2/4\n";

    #[test]
    fn polygons_become_triangles_by_material() {
        let obj = parse(CUBE_SIDE.as_bytes(), "test", &["eyelashes".to_owned()]).unwrap();
        assert_eq!(obj.positions.len(), 4);
        assert_eq!(obj.corners, [(0, Some(0)), (1, Some(1)), (2, Some(2)), (2, Some(3)), (3, Some(3))]);
        assert_eq!(obj.triangles, [[0, 1, 2], [0, 2, 4], [0, 1, 3]]);
        let parts: Vec<_> =
            obj.parts.iter().map(|part| (part.name.as_str(), part.triangles.clone())).collect();
        assert_eq!(parts, [("M_Face", 0..2), ("M_Teeth", 2..3)]);
        assert_eq!(obj.corner_uvs()[0], [0.0, 1.0]);
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, what) in [
            ("v 0 0", "line 1: expected 3 numbers"),
            ("v 0 0 x", "line 1: \"x\" is not a finite number"),
            ("v 0 0 nan", "line 1: \"nan\" is not a finite number"),
            ("v 0 0 0\nf 1 1", "line 2: a polygon of 2 corners, expected 3 to 64"),
            ("v 0 0 0\nf 1 1 2", "line 2: the corner \"2\" is not there"),
            ("v 0 0 0\nf 1 1 -2", "line 2: the corner \"-2\" is not there"),
            ("v 0 0 0\nf 1 1 1/1", "line 2: the corner \"1/1\" is not there"),
            ("v 0 0 0\n", "has no polygons to show"),
        ] {
            let error = parse(text.as_bytes(), "t", &[]).unwrap_err().to_string();
            assert!(error.ends_with(what), "{error}");
        }
        assert!(parse(&[0xff, 0xfe], "t", &[]).is_err());
    }
}
