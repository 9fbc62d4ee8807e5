//! The node tree of a file from outside: where each node stands, what it is below, which are bones of the head.

use super::matrix::Matrix;
use super::schema::{Node, Root};
use crate::{Error, Result};

/// A bone that matters to a head, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bone {
    Head,
    Neck,
    LeftEye,
    RightEye,
}

impl Bone {
    /// What a name says: `mixamorig:Head`, `CC_Base_L_Eye`, `LeftEye`, `neck_01` ...
    pub(super) fn of(name: &str) -> Option<Self> {
        let mut words = words(name);
        while words.last().is_some_and(|word| NOISE.contains(&word.as_str())) {
            words.pop();
        }
        match words.last()?.as_str() {
            "head" => return Some(Self::Head),
            "neck" => return Some(Self::Neck),
            "lefteye" | "eyeleft" | "leye" => return Some(Self::LeftEye),
            "righteye" | "eyeright" | "reye" => return Some(Self::RightEye),
            _ => {}
        }
        let side = words.iter().rposition(|word| matches!(word.as_str(), "l" | "left" | "r" | "right"))?;
        let is_left = words.remove(side).starts_with('l');
        let is_eye = words.last().is_some_and(|word| matches!(word.as_str(), "eye" | "eyeball"));
        is_eye.then_some(if is_left { Self::LeftEye } else { Self::RightEye })
    }
}

/// Words at the end of a bone's name that say nothing.
const NOISE: [&str; 6] = ["jnt", "joint", "bone", "bind", "x", "m"];

/// The words of a name, small: split at separators, digits and capitals.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for c in name.chars().take(200) {
        if c.is_alphabetic() {
            let begins = !before.is_alphabetic() || (c.is_uppercase() && !before.is_uppercase());
            match words.last_mut().filter(|_| !begins) {
                Some(word) => word.extend(c.to_lowercase()),
                None => words.push(c.to_lowercase().collect()),
            }
        }
        before = c;
    }
    words
}

/// The nodes of a file at their places.
pub(super) struct Scene<'f> {
    nodes: &'f [Node],
    /// From each node's space to the scene's.
    pub world: Vec<Matrix>,
    parents: Vec<Option<usize>>,
    /// The nodes of the scene, parents first.
    pub order: Vec<usize>,
    bones: Vec<Option<Bone>>,
}

impl<'f> Scene<'f> {
    /// Follows the tree from the roots of the file's scene; a node with two parents stays with its first.
    pub(super) fn new(root: &'f Root, place: &str) -> Result<Self> {
        let nodes = root.nodes.as_slice();
        let outside = |index: usize| {
            Error::face(place, format!("node {index} of {}", nodes.len()))
                .with_hint("the file is damaged or its exporter has a fault: export the head again")
        };
        let mut is_child = vec![false; nodes.len()];
        for &child in nodes.iter().flat_map(|node| &node.children) {
            *is_child.get_mut(child).ok_or_else(|| outside(child))? = true;
        }
        let all_roots: Vec<usize> = (0..nodes.len()).filter(|&index| !is_child[index]).collect();
        let scene = root.scenes.get(root.scene.unwrap_or(0));
        let roots = scene.map_or(all_roots.as_slice(), |scene| scene.nodes.as_slice());
        if let Some(&bad) = roots.iter().find(|&&index| index >= nodes.len()) {
            return Err(outside(bad));
        }
        let bones = nodes.iter().map(|node| Bone::of(node.name.as_deref()?)).collect();
        let count = nodes.len();
        let mut scene = Self {
            nodes,
            world: vec![Matrix::IDENTITY; count],
            parents: vec![None; count],
            order: Vec::new(),
            bones,
        };
        let mut is_placed = vec![false; count];
        scene.place(roots, &mut is_placed);
        let shown = scene.order.len();
        // Bones may stand outside the scene: they have places, but nothing of theirs is seen.
        scene.place(&all_roots, &mut is_placed);
        scene.order.truncate(shown);
        Ok(scene)
    }

    fn place(&mut self, roots: &[usize], is_placed: &mut [bool]) {
        let mut waiting: Vec<(usize, Option<usize>)> = roots.iter().rev().map(|&root| (root, None)).collect();
        while let Some((index, parent)) = waiting.pop() {
            if std::mem::replace(&mut is_placed[index], true) {
                continue;
            }
            let own = Matrix::of_node(&self.nodes[index]);
            self.world[index] = parent.map_or(own, |parent: usize| self.world[parent].after(&own));
            self.parents[index] = parent;
            self.order.push(index);
            waiting.extend(self.nodes[index].children.iter().rev().map(|&child| (child, Some(index))));
        }
    }

    pub(super) fn node(&self, index: usize) -> &'f Node {
        &self.nodes[index]
    }

    pub(super) fn name(&self, index: usize) -> &'f str {
        self.nodes[index].name.as_deref().unwrap_or_default()
    }

    /// The nodes named as this bone that carry no mesh themselves, parents first.
    pub(super) fn bones(&self, bone: Bone) -> impl Iterator<Item = usize> {
        let is_bone =
            move |&index: &usize| self.bones[index] == Some(bone) && self.nodes[index].mesh.is_none();
        (0..self.nodes.len()).filter(is_bone)
    }

    /// Whether this node is `above` or stands below it.
    pub(super) fn is_below(&self, index: usize, above: usize) -> bool {
        self.line(index).any(|at| at == above)
    }

    /// The eye that this node belongs to: the nearest one that it is or is below.
    pub(super) fn eye(&self, index: usize) -> Option<(bool, usize)> {
        self.line(index).find_map(|at| match self.bones[at] {
            Some(Bone::LeftEye) => Some((true, at)),
            Some(Bone::RightEye) => Some((false, at)),
            _ => None,
        })
    }

    /// The node, its parent, and so on.
    fn line(&self, index: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(index), |&at| self.parents[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bones_are_known_by_many_names() {
        for (name, bone) in [
            ("Head", Some(Bone::Head)),
            ("mixamorig:Head", Some(Bone::Head)),
            ("CC_Base_Head", Some(Bone::Head)),
            ("head_JNT", Some(Bone::Head)),
            ("HeadTop_End", None),
            ("forehead_L", None),
            ("neck_01", Some(Bone::Neck)),
            ("LeftEye", Some(Bone::LeftEye)),
            ("EyeRight", Some(Bone::RightEye)),
            ("CC_Base_R_Eye", Some(Bone::RightEye)),
            ("J_Adj_L_FaceEye", Some(Bone::LeftEye)),
            ("eyeball.L", Some(Bone::LeftEye)),
            ("righteye", Some(Bone::RightEye)),
            ("LeftEyeLid", None),
            ("eyebrow_L", None),
            ("LeftHand", None),
            ("", None),
        ] {
            assert_eq!(Bone::of(name), bone, "{name}");
        }
    }

    #[test]
    fn circles_and_shared_children_end() {
        let node = |children: &[usize]| Node { children: children.to_vec(), ..Node::default() };
        let root = Root { nodes: vec![node(&[1, 2]), node(&[2, 1]), node(&[0])], ..Root::default() };
        let scene = Scene::new(&root, "test").unwrap();
        assert!(scene.order.is_empty(), "all are someone's child");
        let root = Root { nodes: vec![node(&[1, 2]), node(&[2]), node(&[])], ..Root::default() };
        assert_eq!(Scene::new(&root, "test").unwrap().order, [0, 1, 2]);
        let root = Root { nodes: vec![node(&[7])], ..Root::default() };
        assert!(Scene::new(&root, "test").is_err());
    }
}
