//! Fuzz entries of the checkpoint readers: every file a person may name, and pickles on their own.

use unils::checkpoint::TensorFile;
use unils::checkpoint::pickle::{Kind, Limits, Policy, Tree, Value};

/// Largest tensor that is read; its size is known before.
const ELEMENTS: usize = 1 << 16;

/// A checkpoint of any form.
pub fn checkpoint(data: &[u8]) {
    let file = match TensorFile::from_bytes(data.to_vec(), "fuzz.pt") {
        Ok(file) => file,
        Err(error) => {
            assert!(error.to_string().len() < 5000, "an error repeats its file");
            return;
        }
    };
    for name in file.names() {
        let info = file.info(name).expect("every listed tensor is described");
        let elements: usize = info.shape.iter().product();
        if elements > ELEMENTS {
            continue;
        }
        let values = file.read_f32(name).expect("every listed tensor can be read");
        assert_eq!(values.len(), elements);
        assert_eq!(file.read_bytes(name).expect("its bytes as well").len(), elements * info.dtype.size());
        if let Some(borrowed) = file.borrow_f32(name) {
            assert!(borrowed.iter().zip(&values).all(|(left, right)| left.to_bits() == right.to_bits()));
        }
    }
    let summary = file.summary();
    assert_eq!(summary.tensors, file.names().len());
}

/// Allows everything, so that the machine sees every path.
struct Anything;

impl Policy for Anything {
    fn allows(&self, _: &str, _: &str) -> bool {
        true
    }

    fn allows_persistent(&self, _: Value<'_>) -> bool {
        true
    }
}

/// A pickle.
pub fn pickle(data: &[u8]) {
    let limits = Limits { values: 1 << 16, stack: 1 << 12 };
    let Ok(tree) = Tree::parse_within(data, "fuzz.pkl", &Anything, limits) else { return };
    assert!(tree.consumed() <= data.len());
    let _ = tree.root().to_json();
    walk(tree.root(), &mut 10_000, 50);
}

/// Looks at every value in every way, within a number of visits and a depth.
fn walk(value: Value<'_>, visits: &mut usize, depth: usize) {
    if *visits == 0 || depth == 0 {
        return;
    }
    *visits -= 1;
    let _ = (value.noun(), value.as_str(), value.as_bytes(), value.as_usize(), value.get("model"));
    for (key, entry) in value.entries().into_iter().flatten() {
        walk(key, visits, depth - 1);
        walk(entry, visits, depth - 1);
    }
    match value.kind() {
        Kind::Tuple(items) | Kind::List(items) | Kind::Set(items) => {
            items.for_each(|item| walk(item, visits, depth - 1));
        }
        Kind::Object(object) => {
            assert!(!object.callable().0.contains('\n'));
            object.arguments().chain(object.items()).for_each(|item| walk(item, visits, depth - 1));
            object
                .state()
                .into_iter()
                .chain(object.keywords())
                .for_each(|item| walk(item, visits, depth - 1));
        }
        Kind::Persistent(id) => walk(id, visits, depth - 1),
        _ => {}
    }
}
