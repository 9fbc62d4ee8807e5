//! Checkpoint files that are damaged or made to do harm: a clear error each, no panic, nothing run, memory bounded.
//!
//! All bytes are made here; `tests/fuzz_smoke.rs` goes on from them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod checkpoint_common;

use checkpoint_common::{
    Scratch, Tensor, fixture, integer, pickled_state_dict, pickled_tensors, text, torch_zip, zip_file,
};
use unils::Error;
use unils::checkpoint::TensorFile;
use unils::checkpoint::pickle::{AllowList, Kind, Limits, Policy, Tree};
use zip::CompressionMethod::{Deflated, Stored};

const F32_2: [u8; 8] = [0; 8];

fn open(bytes: Vec<u8>) -> Result<TensorFile, Error> {
    TensorFile::from_bytes(bytes, "w.pt")
}

/// The error for a `.pt` file with this pickle and one storage of two f32.
fn refused(pickle: &[u8]) -> Error {
    open(torch_zip(pickle, &[("0", &F32_2)])).unwrap_err()
}

fn assert_says(error: &Error, expected: &str) {
    assert!(matches!(error, Error::Checkpoint(_)), "{error:?}");
    assert!(error.to_string().contains(expected), "`{error}` does not say `{expected}`");
    assert!(error.to_string().len() < 1000, "{error}");
}

#[test]
fn code_is_never_run_and_its_name_is_told() {
    let attempts: [(&str, Vec<u8>, &str); 9] = [
        ("GLOBAL", b"cos\nsystem\n(S'touch /tmp/owned'\ntR.".to_vec(), "os.system"),
        (
            "STACK_GLOBAL",
            b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.".to_vec(),
            "posix.system",
        ),
        ("INST", b"(S'true'\nios\nsystem\n.".to_vec(), "os.system"),
        ("OBJ", b"(cos\nsystem\nS'true'\no.".to_vec(), "os.system"),
        ("NEWOBJ", b"\x80\x02csubprocess\nPopen\nS'true'\n\x85\x81.".to_vec(), "subprocess.Popen"),
        ("NEWOBJ_EX", b"\x80\x04csubprocess\nPopen\nS'true'\n\x85}\x92.".to_vec(), "subprocess.Popen"),
        ("eval", b"c__builtin__\neval\n(S'1'\ntR.".to_vec(), "__builtin__.eval"),
        ("eval 3", b"\x80\x02cbuiltins\neval\nX\x01\0\0\x001\x85R.".to_vec(), "builtins.eval"),
        (
            "inside a tensor's arguments",
            b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n(cos\nsystem\nX\x01\0\0\0x\x85RtRs."
                .to_vec(),
            "os.system",
        ),
    ];
    for (how, pickle, name) in attempts {
        let error = refused(&pickle);
        assert_says(&error, &format!("asks to run `{name}`; refused"));
        assert!(error.hint().is_some_and(|hint| hint.contains("state_dict")), "{how}");
    }
    // names that look like data but are not
    for name in [
        "torch\nload",
        "torch\nhub",
        "collections\n__import__",
        "torch._utils\n_import_dotted_name",
        "numpy\nload",
    ] {
        let error = refused(format!("c{name}\n)R.").as_bytes());
        assert_says(&error, &name.replace('\n', "."));
    }
    // a name cannot write to the terminal
    let error = refused(b"cos\x1b[2J\nsystem\n)R.");
    assert!(!error.to_string().contains('\x1b'), "{error}");
}

#[test]
fn only_names_are_called() {
    // REDUCE of a REDUCE, of a tuple, of a dictionary; arguments that are no tuple; state of what has none
    for (pickle, expected) in [
        (&b"ccollections\nOrderedDict\n)R)R."[..], "asks to call an object"),
        (b"))R.", "asks to call a tuple"),
        (b"})\x81.", "asks to call a dictionary"),
        (b"(}o.", "asks to call a dictionary"),
        (b"(o.", "object without a class"),
        (b"ccollections\nOrderedDict\n]R.", "arguments are a list"),
        (b"}}b.", "cannot set the state of a dictionary"),
        (b")}a.", "cannot add entries to a tuple"),
        (b"\x82\x01.", "extension registry"),
        (b"\x97.", "outside of the file"),
        (b"Pmodule\n.", "outside of it"),
        (b"NQ.", "outside of it"),
    ] {
        assert_says(&refused(pickle), expected);
    }
}

#[test]
fn damaged_pickles_are_refused() {
    for (pickle, expected) in [
        (&b""[..], "ends early"),
        (b".", "no value on the stack"),
        (b"(.", "no value on the stack"),
        (b"(0.", "no value on the stack"),
        (b"N(.", "no value on the stack"),
        (b"t.", "no mark on the stack"),
        (b"(NNN}0d.", "key without a value"),
        (b"\x80\x06.", "protocol 6"),
        (b"\xff.", "0xff is no pickle operation"),
        (b"h\x07.", "memo entry 7"),
        (b"gx\n.", "memo key"),
        (b"X\xff\xff\xff\xff.", "4294967295 more bytes announced"),
        (b"T\xff\xff\xff\xff.", "4294967295 more bytes announced"),
        (b"\x8b\xff\xff\xff\x7f.", "2147483647 more bytes announced"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "more bytes announced"),
        (b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "more bytes announced"),
        (b"\x8c\x02\xff\xfe.", "not UTF-8"),
        (b"Idigits\n.", "decimal integer"),
        (b"L9999999999999999999999999999999999999999L\n.", "beyond 128 bits"),
        (b"Fdigits\n.", "decimal number"),
        (b"S'open\n.", "quoted string"),
        (b"V\\u12\n.", "Unicode string"),
        (b"NN\x93.", "not text"),
        (b"N.", "holds None"),
        (b"}.", "holds no tensors"),
    ] {
        assert_says(&refused(pickle), expected);
    }
}

#[test]
fn truncation_anywhere_is_an_error() {
    let pickle = pickled_state_dict(&["a", "b"]);
    let whole = torch_zip(&pickle, &[("0", &F32_2)]);
    assert!(open(whole.clone()).is_ok());
    for end in 0..whole.len() {
        assert!(open(whole[..end].to_vec()).is_err(), "zip cut at {end}");
    }
    for end in 0..pickle.len() {
        assert_says(&refused(&pickle[..end]), "");
    }
    let plain = std::fs::read(fixture("checkpoints/torch_variants.safetensors")).unwrap();
    for end in 0..plain.len() {
        assert!(open(plain[..end].to_vec()).is_err(), "safetensors cut at {end}");
    }
}

#[test]
fn deep_nesting_neither_overflows_nor_lingers() {
    for open_one in [&b"]"[..], b"(", b"}X\x01\0\0\0a"] {
        let mut pickle = open_one.repeat(500_000);
        pickle.extend(b"N.");
        let _ = Tree::parse(&pickle, "deep.pkl", &AllowList(&[]));
    }
    // [[[...]]] and ((((...)))), a hundred thousand deep, built and dropped
    let lists = [b"]".repeat(100_000), b"a".repeat(99_999), b".".to_vec()].concat();
    let tree = Tree::parse(&lists, "deep.pkl", &AllowList(&[])).unwrap();
    assert!(tree.root().to_json().is_err_and(|problem| problem.contains("nested more than 64 deep")));
    let tuples = [b")".to_vec(), b"\x85".repeat(100_000), b".".to_vec()].concat();
    assert!(Tree::parse(&tuples, "deep.pkl", &AllowList(&[])).unwrap().root().to_json().is_err());
    // a list that contains itself
    let tree = Tree::parse(b"]q\0h\0a.", "loop.pkl", &AllowList(&[])).unwrap();
    assert!(tree.root().to_json().is_err_and(|problem| problem.contains("deep")));
}

#[test]
fn sharing_does_not_multiply() {
    // ten levels of lists that hold the level before ten times: 10^10 leaves in 500 bytes
    let mut laughs = b"X\x02\0\0\0haq\0".to_vec();
    for level in 0..10_u8 {
        laughs.extend(b"0](");
        laughs.extend([b'h', level].repeat(10));
        laughs.extend([b'e', b'q', level + 1]);
    }
    let pickle = [&laughs[..], b"."].concat();
    let tree = Tree::parse(&pickle, "laughs.pkl", &AllowList(&[])).unwrap();
    assert!(tree.root().to_json().is_err_and(|problem| problem.contains("values")));
    let mut checkpoint = b"}(".to_vec();
    checkpoint.extend([text("model"), pickled_state_dict(&["a"])[2..].to_vec()].concat());
    checkpoint.pop();
    checkpoint.extend([text("meta_cfg"), laughs, b"u.".to_vec()].concat());
    assert_says(&refused(&checkpoint), "meta_cfg has more than");
    // one text of a megabyte, a thousand times
    let mut long = text(&"x".repeat(1 << 20));
    long.extend(b"q\0](");
    long.extend(b"h\0".repeat(1000));
    long.extend(b"e.");
    let tree = Tree::parse(&long, "text.pkl", &AllowList(&[])).unwrap();
    assert!(tree.root().to_json().is_err_and(|problem| problem.contains("bytes of text")));
}

#[test]
fn values_and_stack_are_limited() {
    let limits = Limits { values: 1000, stack: 100 };
    let parse = |pickle: &[u8]| Tree::parse_within(pickle, "l.pkl", &AllowList(&[]), limits).map(drop);
    assert_says(&parse(&b"N".repeat(101)).unwrap_err(), "on the stack");
    assert_says(&parse(&[b"N".to_vec(), b"2".repeat(101)].concat()).unwrap_err(), "on the stack");
    assert_says(&parse(&b"(".repeat(101)).unwrap_err(), "too many marks");
    assert_says(&parse(&b"N0".repeat(1001)).unwrap_err(), "more than 1000 values");
    assert!(parse(&[b"N0".repeat(999), b"N.".to_vec()].concat()).is_ok());
}

#[test]
fn absurd_shapes_are_refused_by_name() {
    let max = i64::MAX;
    let tensor = Tensor::default;
    for (tensor, expected) in [
        (Tensor { sizes: &[3], ..tensor() }, "beyond its storage of 2 elements"),
        (Tensor { offset: 1, ..tensor() }, "beyond its storage"),
        (Tensor { strides: &[2], ..tensor() }, "beyond its storage"),
        (Tensor { offset: max, ..tensor() }, "beyond its storage"),
        (Tensor { sizes: &[2, 2], strides: &[max, max], ..tensor() }, "beyond its storage"),
        (Tensor { sizes: &[max, max], strides: &[0, 0], ..tensor() }, "more elements than can be counted"),
        (Tensor { sizes: &[1 << 62], strides: &[0], ..tensor() }, "more elements than can be counted"),
        (Tensor { sizes: &[1 << 40], strides: &[0], ..tensor() }, "out of a file that holds"),
        (Tensor { sizes: &[-1], ..tensor() }, "its sizes contain -1"),
        (Tensor { strides: &[-1], ..tensor() }, "its strides contain -1"),
        (Tensor { offset: -1, ..tensor() }, "storage offset is not a count"),
        (Tensor { sizes: &[2, 1], ..tensor() }, "2 sizes but 1 strides"),
        (Tensor { sizes: &[1; 65], strides: &[1; 65], ..tensor() }, "65 sizes"),
        (Tensor { elements: 3, ..tensor() }, "should hold 3 x 4 bytes and holds 8"),
        (Tensor { elements: -1, ..tensor() }, "size is not a count"),
        (Tensor { elements: max, ..tensor() }, "should hold"),
        (Tensor { key: "1", ..tensor() }, "`data/1` is missing"),
        (Tensor { key: "../data.pkl", ..tensor() }, "missing"),
        (Tensor { class: "UntypedStorage", elements: 8, ..tensor() }, "element type is not stated"),
    ] {
        let error = refused(&pickled_tensors(&[("layer.weight", tensor)]));
        assert_says(&error, expected);
        assert_says(&error, "tensor `layer.weight`");
    }
    let unknown = refused(&pickled_tensors(&[("a", Tensor { class: "ComplexFloatStorage", ..tensor() })]));
    assert_says(&unknown, "torch.ComplexFloatStorage");
    // many whole views of one storage are bounded as well
    let storage = vec![0; 1 << 20];
    let names: Vec<_> = (0..200).map(|index| format!("t{index}")).collect();
    let whole = || Tensor { elements: 1 << 18, sizes: &[1 << 18], ..tensor() };
    let tensors: Vec<_> = names.iter().map(|name| (name.as_str(), whole())).collect();
    let error = open(torch_zip(&pickled_tensors(&tensors), &[("0", &storage)])).unwrap_err();
    assert_says(&error, "out of a file that holds");
    // a stride that is never used may be anything; no elements need no storage
    for fine in [
        Tensor { sizes: &[1, 2], strides: &[max, 1], ..tensor() },
        Tensor { sizes: &[0, max], strides: &[max, 1], ..tensor() },
    ] {
        let file = open(torch_zip(&pickled_tensors(&[("a", fine)]), &[("0", &F32_2)])).unwrap();
        assert!(file.read_f32("a").unwrap().len() <= 2);
    }
}

#[test]
fn broken_descriptions_of_tensors_are_refused() {
    let call = |arguments: &[u8]| {
        [&b"}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n"[..], arguments, b"Rs."].concat()
    };
    assert_says(&refused(&call(b")")), "needs storage");
    assert_says(&refused(&call(b"(NNNNt")), "storage is not in the file");
    assert_says(&refused(&call(b"((X\x07\0\0\0storageNNNNtQNNNt")), "has no class");
    assert_says(&refused(b"}X\x01\0\0\0actorch._utils\n_rebuild_parameter\n)Rs."), "without a tensor");
    assert_says(&refused(b"}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v3\n(NNNNNNNtRs."), "element type");
    let long = [b"}".to_vec(), text(&"n".repeat(2000)), Tensor::default().pickled(), b"s.".to_vec()].concat();
    assert_says(&refused(&long), "longer than 1024");
    let numbered = [b"}".to_vec(), integer(3), Tensor::default().pickled(), b"s.".to_vec()].concat();
    assert_says(&refused(&numbered), "name is an integer");
    assert_says(&refused(&[Tensor::default().pickled(), b".".to_vec()].concat()), "holds an object");
}

#[test]
fn compressed_entries_are_read_within_bounds() {
    let pickle = pickled_state_dict(&["a"]);
    let honest =
        zip_file(&[("w/data.pkl", &pickle, Deflated), ("w/data/0", &[0, 0, 128, 63, 0, 0, 0, 64], Deflated)]);
    assert_eq!(open(honest).unwrap().read_f32("a").unwrap(), [1.0, 2.0]);

    // 20 MB of zeros in 20 kB
    let zeros = vec![0; 20 << 20];
    let elements = (zeros.len() / 4) as i64;
    let large = Tensor { elements, sizes: &[2], ..Tensor::default() };
    let bomb = zip_file(&[
        ("w/data.pkl", &pickled_tensors(&[("a", large)]), Stored),
        ("w/data/0", &zeros, Deflated),
    ]);
    assert!(bomb.len() < 50_000);
    assert_says(&open(bomb.clone()).unwrap_err(), "more than the file can hold");

    // the same, with announced sizes that lie: 8 bytes instead
    let size = (zeros.len() as u32).to_le_bytes();
    let mut lying = bomb;
    for at in 0..lying.len() - 4 {
        if lying[at..at + 4] == size {
            lying[at..at + 4].copy_from_slice(&8_u32.to_le_bytes());
        }
    }
    assert!(open(lying).is_err());
    // many entries, each within bounds
    let some = vec![0; 6 << 20];
    let elements = (some.len() / 4) as i64;
    let keys: Vec<_> = (0..4).map(|key| key.to_string()).collect();
    let tensors: Vec<_> =
        keys.iter().map(|key| (key.as_str(), Tensor { key, elements, ..Tensor::default() })).collect();
    let pickle = pickled_tensors(&tensors);
    let names: Vec<_> = keys.iter().map(|key| format!("w/data/{key}")).collect();
    let mut entries = vec![("w/data.pkl", &pickle[..], Stored)];
    entries.extend(names.iter().map(|name| (name.as_str(), &some[..], Deflated)));
    assert_says(&open(zip_file(&entries)).unwrap_err(), "more than the file can hold");
}

#[test]
fn other_archives_are_named() {
    for (name, expected) in [
        ("motion.npy", "NumPy archive"),
        ("readme.txt", "without a data.pkl"),
        ("a/b/data.pkl", "without a data.pkl"),
    ] {
        assert_says(&open(zip_file(&[(name, b"x", Stored)])).unwrap_err(), expected);
    }
    let two = zip_file(&[("a/data.pkl", b"}.", Stored), ("b/data.pkl", b"}.", Stored)]);
    assert_says(&open(two).unwrap_err(), "more than one data.pkl");
    let script = zip_file(&[("m/data.pkl", b"}.", Stored), ("m/constants.pkl", b").", Stored)]);
    assert_says(&open(script).unwrap_err(), "TorchScript");
    let pickle = pickled_state_dict(&["a"]);
    let entries = |order: &'static [u8]| {
        let bytes: &'static [u8] = &[63, 128, 0, 0, 64, 0, 0, 0];
        [("w/byteorder", order, Stored), ("w/data/0", bytes, Stored)]
    };
    let with = |order| zip_file(&[&[("w/data.pkl", &pickle[..], Stored)], &entries(order)[..]].concat());
    assert_eq!(open(with(b"big")).unwrap().read_f32("a").unwrap(), [1.0, 2.0]);
    assert!(open(with(b"big")).unwrap().borrow_f32("a").is_none());
    assert_says(&open(with(b"middle")).unwrap_err(), "byte order `middle`");
}

#[test]
fn hostile_safetensors_are_refused_by_name() {
    let file = |header: &str, data: usize| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(vec![0; data]);
        bytes
    };
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    assert!(open(file(&one("F32", "[2]", "[0,8]"), 8)).is_ok());
    for (header, data, expected) in [
        (one("F32", "[2]", "[0,8]"), 7, "ends within tensor `w`: 7 of 8"),
        (one("F32", "[2]", "[0,8]"), 9, "1 bytes after its last tensor"),
        (one("F32", "[3]", "[0,8]"), 8, "tensor `w`: bytes 0..8 do not fit"),
        (one("F32", "[2]", "[8,0]"), 8, "tensor `w`: bytes 8..0 do not fit"),
        (one("F32", "[2]", "[4,12]"), 12, "tensor `w`: its bytes 4..12 leave a gap"),
        (one("F32", "[9223372036854775807,3]", "[0,8]"), 8, "tensor `w`: its shape"),
        (one("F32", "[4611686018427387904]", "[0,0]"), 0, "tensor `w`: its shape"),
        (one("C64", "[1]", "[0,8]"), 8, "tensor `w`: element type C64"),
        (one("F32", "[-2]", "[0,8]"), 8, "is not a safetensors file"),
        (one("F99", "[2]", "[0,8]"), 8, "is not a safetensors file"),
        ("{\"w\":".to_owned(), 0, "is not a safetensors file"),
        ("{".repeat(100_000), 0, "is not a safetensors file"),
    ] {
        assert_says(&open(file(&header, data)).unwrap_err(), expected);
    }
    let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                      "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    assert_says(&open(file(overlap, 12)).unwrap_err(), "tensor `b`: its bytes 4..12 overlap");
    let mut cut = file(&one("F32", "[2]", "[0,8]"), 8);
    cut.truncate(20);
    assert_says(&open(cut).unwrap_err(), "its header should have");
}

#[test]
fn wrong_paths_are_told() {
    let scratch = Scratch::new("wrong");
    let empty = TensorFile::open(scratch.folder()).unwrap_err();
    assert_says(&empty, "has none of model.safetensors");
    std::fs::write(scratch.path("codec.safetensors"), "").unwrap();
    let hint = TensorFile::open(scratch.folder()).unwrap_err();
    assert_eq!(hint.hint(), Some("or name one of its files: codec.safetensors"));
    assert_says(&TensorFile::open(scratch.path("codec.safetensors")).unwrap_err(), "is empty");
    assert!(matches!(TensorFile::open(scratch.path("nothing.pt")), Err(Error::Io { .. })));
    std::fs::write(scratch.path("model.safetensors"), "version https://git-lfs.github.com/spec/v1\n")
        .unwrap();
    let pointer = TensorFile::open(scratch.folder()).unwrap_err();
    assert_says(&pointer, "model.safetensors: is a Git LFS pointer");
    let missing =
        open(torch_zip(&pickled_state_dict(&["a"]), &[("0", &F32_2)])).unwrap().read_f32("b").unwrap_err();
    assert_says(&missing, "w.pt: has no tensor `b`");
}

/// Python 2 and NumPy pickles become trees that a reader can follow.
#[test]
fn general_pickles_become_trees() {
    // Python 2: {'w': numpy.array([1., 2.], 'f4')} at protocol 2, {'w': ...} at protocol 0
    let array: &[u8] = b"\x80\x02}U\x01wcnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nK\0\x85U\x01b\x87R\
        (K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\0K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\
        \x89U\x08\0\0\x80\x3f\0\0\0\x40tbs.";
    let names =
        AllowList(&[("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")]);
    let tree = Tree::parse(array, "array.pkl", &names).unwrap();
    assert_eq!(tree.consumed(), array.len());
    let array = tree.root().get("w").unwrap().as_object().unwrap();
    assert!(array.is("numpy.core.multiarray", "_reconstruct"));
    let state: Vec<_> = array.state().unwrap().items().unwrap().collect();
    assert_eq!(state[1].items().unwrap().map(|size| size.as_usize()).collect::<Vec<_>>(), [Some(2)]);
    assert_eq!(state[2].as_object().unwrap().arguments().next().unwrap().as_str(), Some("f4"));
    assert_eq!(state[4].as_bytes().unwrap(), [0, 0, 128, 63, 0, 0, 0, 64].as_slice());

    let old = b"(dp0\nS'a\\x00'\np1\n(lp2\nI1\naI01\naL-5L\naF0.5\naV\\u00e9\naNa(I1\nI2\nttp3\ns.";
    assert!(Tree::parse(old, "old.pkl", &AllowList(&[])).is_err(), "a tuple without its mark");
    let old = b"(dp0\nS'a\\x00'\np1\n(lp2\nI1\naI01\naL-5L\naF0.5\naV\\u00e9\naNa(I1\nI2\ntas.";
    let tree = Tree::parse(old, "old.pkl", &AllowList(&[])).unwrap();
    assert_eq!(
        tree.root().to_json().unwrap(),
        serde_json::json!({"a\0": [1, true, -5, 0.5, "é", null, [1, 2]]})
    );

    let new = b"\x80\x05\x95\x0a\0\0\0\0\0\0\0\x8f(K\x01\x8c\x01x\x90\x94C\x02\xff\0\x96\x01\0\0\0\0\0\0\0z\x8a\0\x87.";
    let tree = Tree::parse(new, "new.pkl", &AllowList(&[])).unwrap();
    let parts: Vec<_> = tree.root().items().unwrap().collect();
    assert!(matches!(parts[0].kind(), Kind::Bytes([0xff, 0])), "{:?}", parts[0].kind());
    assert!(matches!(parts[1].kind(), Kind::Bytes(b"z")));
    assert_eq!(parts[2].as_i64(), Some(0));
}

/// One object, written by Python 3 in each protocol: six spellings, one meaning.
#[test]
fn protocols_agree() {
    struct Anything;
    impl Policy for Anything {
        fn allows(&self, _: &str, _: &str) -> bool {
            true
        }
    }
    let expected = serde_json::json!({
        "none": null, "bool": [true, false], "floats": [0.1, "NaN", "Infinity"], "text": "é\n", "bytes": "00ff",
        "ints": [0, 255, 65535, -1, 2_147_483_648_u32, 4_611_686_018_427_387_904_u64, "0x400000000000000000",
            "0xfc0000000000000000000000"],
        "tuples": [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4]], "sets": [[1], [2]], "od": {"a": 1},
        "shared": [[1, 2, 3], [1, 2, 3]],
    });
    for protocol in 0..=5 {
        let bytes = std::fs::read(fixture(&format!("fuzz/pickle/protocol{protocol}.pkl"))).unwrap();
        let tree = Tree::parse(&bytes, "p.pkl", &Anything).unwrap();
        assert_eq!(tree.consumed(), bytes.len());
        for (key, value) in expected.as_object().unwrap() {
            let found = tree.root().get(key).unwrap().to_json().unwrap();
            assert_eq!(&found, value, "protocol {protocol}, {key}");
        }
        // the object holds itself, and one list twice
        assert!(tree.root().to_json().is_err_and(|problem| problem.contains("deep")));
        assert!(tree.root().get("self").unwrap().get("none").is_some());
    }
}
