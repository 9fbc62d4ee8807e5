//! The mesh under construction: vertices with what the shapes need to know of them, triangles by surface.

use glam::{DVec3, dvec3};

/// What a triangle is made of; each becomes a part with its own material.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Surface {
    /// Face, ears, neck, lips and lids.
    Skin,
    /// The inside of the mouth.
    Mouth,
    /// Upper and lower teeth.
    Teeth,
    /// Gums.
    Gums,
    /// The tongue.
    Tongue,
    /// Whites of the eyes.
    Eyes,
    /// Irises and pupils.
    Iris,
    /// The modelled reflections on the eyes.
    Glint,
    /// The dark edges of the upper lids.
    Lashes,
    /// Eyebrows.
    Brows,
    /// Hair.
    Hair,
    /// The shirt.
    Shirt,
    /// The shirt's collar.
    Collar,
}

/// Where a vertex stands around the mouth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MouthPlace {
    /// From the right corner (-1) over the middle to the left corner (1), clamped.
    pub u: f64,
    /// 0 above the line between the lips, 1 below, in between beside the corners.
    pub lower: f64,
    /// Distance to the line between the lips as seen from the front.
    pub distance: f64,
    /// Along the cross-section of the lip: 0 where the lips touch, 1 at the edge of the red, above 1 on the skin,
    /// below 0 inside the mouth.
    pub across: f64,
}

/// Where a vertex stands on the lids of its side's eye.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LidPlace {
    /// Column from the inner corner (-1) to the outer corner (1).
    pub q: f64,
    /// Whether it belongs to the upper lid.
    pub upper: bool,
    /// Distance from the lid's edge over the skin; 0 on the edge and on its inner side.
    pub distance: f64,
    /// Height over the eyeball's surface at rest.
    pub height: f64,
}

/// Which thing a vertex belongs to: decides which shapes move it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Skin, lips, lids, inside of the mouth.
    Face,
    /// Upper teeth and gum: still.
    UpperTeeth,
    /// Lower teeth and gum: with the jaw.
    LowerTeeth,
    /// Tongue.
    Tongue,
    /// Eyeball.
    Eye,
    /// Reflection on the eyeball.
    Glint,
    /// Upper lashes.
    Lash,
    /// Brow.
    Brow,
    /// Ears: as the skin they stand on.
    Ear,
    /// Hair.
    Hair,
    /// Clothing: never moves.
    Shirt,
}

/// A vertex.
#[derive(Debug, Clone, Copy)]
pub struct Vertex {
    /// Position, centimetres.
    pub at: DVec3,
    /// Linear RGB, multiplied with the material's.
    pub color: DVec3,
    /// What it belongs to.
    pub body: Body,
    /// On the face: its place around the mouth.
    pub mouth: Option<MouthPlace>,
    /// On lids and lashes: its place there.
    pub lid: Option<LidPlace>,
}

impl Vertex {
    /// A white vertex.
    pub fn new(at: DVec3, body: Body) -> Self {
        Self { at, color: DVec3::ONE, body, mouth: None, lid: None }
    }

    /// The vertex at the mirrored place.
    pub fn mirrored(&self) -> Self {
        let mut twin = *self;
        twin.at = flip(twin.at);
        if let Some(place) = &mut twin.mouth {
            place.u = -place.u;
        }
        twin
    }
}

/// The mesh so far.
#[derive(Debug, Default)]
pub struct Builder {
    /// Vertices.
    pub vertices: Vec<Vertex>,
    /// Triangles.
    pub triangles: Vec<(Surface, [u32; 3])>,
    /// The vertex at the mirrored place: itself on the middle line, none for what is not symmetrical.
    pub mirrored: Vec<Option<u32>>,
}

impl Builder {
    /// Adds a vertex.
    pub fn add(&mut self, vertex: Vertex) -> u32 {
        self.vertices.push(vertex);
        self.vertices.len() as u32 - 1
    }

    /// Adds a vertex for every position.
    pub fn add_row(&mut self, row: impl IntoIterator<Item = DVec3>, body: Body) -> Vec<u32> {
        row.into_iter().map(|at| self.add(Vertex::new(at, body))).collect()
    }

    /// Joins rows of equally many vertices by pairs of triangles; `closed` joins each row's end with its start.
    /// The outside is where rows run anticlockwise and the next row is further in; `flip` turns it over.
    pub fn join(&mut self, rows: &[Vec<u32>], closed: bool, flip: bool, surface: Surface) {
        for pair in rows.windows(2) {
            let (a, b) = (&pair[0], &pair[1]);
            let columns = if closed { a.len() } else { a.len() - 1 };
            for i in 0..columns {
                let j = (i + 1) % a.len();
                self.quad(surface, [a[i], a[j], b[j], b[i]], flip);
            }
        }
    }

    fn quad(&mut self, surface: Surface, [a, b, c, d]: [u32; 4], flip: bool) {
        let at = |i: u32| self.vertices[i as usize].at;
        let short_ac = at(a).distance(at(c)) <= at(b).distance(at(d));
        let pair = if short_ac { [[a, b, c], [a, c, d]] } else { [[a, b, d], [b, c, d]] };
        for corners in pair {
            self.triangle(surface, corners, flip);
        }
    }

    /// Adds a triangle unless two of its corners are one.
    pub fn triangle(&mut self, surface: Surface, [a, b, c]: [u32; 3], flip: bool) {
        if a != b && b != c && c != a {
            self.triangles.push((surface, if flip { [a, c, b] } else { [a, b, c] }));
        }
    }

    /// Closes a row with triangles to one vertex.
    pub fn fan(&mut self, row: &[u32], tip: u32, closed: bool, flip: bool, surface: Surface) {
        let count = if closed { row.len() } else { row.len() - 1 };
        for i in 0..count {
            self.triangle(surface, [row[i], row[(i + 1) % row.len()], tip], flip);
        }
    }

    /// Turns the triangles from `first` on over if they face `inside` on the whole.
    pub fn face_away_from(&mut self, first: usize, inside: DVec3) {
        let mut sum = 0.0;
        for (_, corners) in &self.triangles[first..] {
            let [a, b, c] = corners.map(|i| self.vertices[i as usize].at);
            sum += (b - a).cross(c - a).dot((a + b + c) / 3.0 - inside);
        }
        if sum < 0.0 {
            for (_, corners) in &mut self.triangles[first..] {
                corners.swap(1, 2);
            }
        }
    }

    /// Adds the mirror image of everything so far. Vertices with x = 0 are their own.
    pub fn mirror(&mut self) {
        let count = self.vertices.len();
        self.mirrored = vec![None; count];
        for i in 0..count {
            let vertex = self.vertices[i];
            if vertex.at.x == 0.0 {
                self.mirrored[i] = Some(i as u32);
                continue;
            }
            let j = self.add(vertex.mirrored());
            self.mirrored[i] = Some(j);
            self.mirrored.push(Some(i as u32));
        }
        for t in 0..self.triangles.len() {
            let (surface, corners) = self.triangles[t];
            let [a, b, c] = corners.map(|i| self.mirrored[i as usize].unwrap_or(i));
            if [a, b, c] != corners {
                self.triangles.push((surface, [a, c, b]));
            }
        }
    }

    /// Vertices added after [`Self::mirror`] have no mirror image.
    pub fn finish(&mut self) {
        self.mirrored.resize(self.vertices.len(), None);
    }
}

/// The mirror image of a direction.
pub fn flip(v: DVec3) -> DVec3 {
    dvec3(-v.x, v.y, v.z)
}
