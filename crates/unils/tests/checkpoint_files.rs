//! Checkpoint files: the release's forms agree bit for bit, what we write reads back, hostile files are refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod checkpoint_common;

use std::borrow::Cow;
use std::collections::BTreeMap;

use checkpoint_common::{Scratch, fixture, pickled_state_dict, torch_zip};
use safetensors::SafeTensors;
use unils::Error;
use unils::checkpoint::{
    Dtype, FileKind, StoredAs, TensorFile, TensorSpec, write_safetensors, write_tensors,
};

/// Same names, shapes and bits.
fn assert_equal(left: &TensorFile, right: &TensorFile) {
    assert_eq!(left.names().collect::<Vec<_>>(), right.names().collect::<Vec<_>>());
    for name in left.names() {
        assert_eq!(left.info(name).unwrap().shape, right.info(name).unwrap().shape, "{name}");
        let bits =
            |file: &TensorFile| file.read_f32(name).unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(left), bits(right), "{name}");
    }
}

#[test]
fn torch_checkpoints_equal_their_safetensors() {
    for (model, tensors) in [("codec_tiny", 46), ("freegen_tiny", 78), ("gen_tiny", 128)] {
        let torch = TensorFile::open(fixture(&format!("checkpoints/{model}.pt"))).unwrap();
        let plain = TensorFile::open(fixture(&format!("weights/{model}.safetensors"))).unwrap();
        assert_eq!((torch.kind(), plain.kind()), (FileKind::Torch, FileKind::Safetensors));
        assert_eq!(torch.names().len(), tensors);
        assert_equal(&torch, &plain);
        let meta = torch.meta().unwrap();
        assert_eq!(meta["DATASET"]["MOTION_FPS"], 25);
        assert!(plain.meta().is_none());
    }
    let codec = TensorFile::open(fixture("checkpoints/codec_tiny.pt")).unwrap();
    assert_eq!(codec.meta().unwrap()["MODEL"]["V_PATCH_NUMS"], serde_json::json!([1, 2, 5, 10, 20]));
    assert_eq!(codec.meta().unwrap()["TRAINER"]["LEARNING_RATE"], 1e-4);
}

#[test]
fn tensors_are_borrowed_in_place() {
    let file = TensorFile::open(fixture("checkpoints/codec_tiny.pt")).unwrap();
    for name in file.names() {
        let borrowed = file.borrow_f32(name).unwrap_or_else(|| panic!("{name} is not in place"));
        assert_eq!(borrowed, file.read_f32(name).unwrap(), "{name}");
        file.advise_dont_need(name);
        assert_eq!(borrowed, file.read_f32(name).unwrap(), "{name} after its pages were given back");
    }
    assert!(file.borrow_f32("nothing").is_none());
    file.advise_dont_need("nothing");
}

#[test]
fn every_type_and_view_reads_as_torch_reads_it() {
    // both files are written by PyTorch 2.15: the state dict, and `tensor.contiguous()` of each entry
    let torch = TensorFile::open(fixture("checkpoints/torch_variants.pt")).unwrap();
    let plain = TensorFile::open(fixture("checkpoints/torch_variants.safetensors")).unwrap();
    assert_equal(&torch, &plain);
    for name in torch.names().filter(|name| *name != "dtype.bfloat16") {
        assert_eq!(torch.info(name), plain.info(name), "{name}");
        assert_eq!(torch.read_bytes(name).unwrap(), plain.read_bytes(name).unwrap(), "{name}");
    }
    assert_eq!(torch.info("dtype.bfloat16").unwrap().dtype, Dtype::Bf16);
    assert_eq!(torch.info("view.expanded").unwrap().shape, [4, 3]);
    assert!(torch.read_f32("view.empty").unwrap().is_empty());
    assert!(torch.borrow_f32("view.base").is_some() && torch.borrow_f32("view.transposed").is_none());
    assert_eq!(torch.skipped(), ["extra_state (a dictionary)"]);
    let expected = serde_json::json!({
        "none": null, "flag": true, "int": -5, "big": 9_223_372_036_854_775_809_u64,
        "bigger": "0x400000000000000000", "float": 0.1, "nan": "NaN", "inf": "-Infinity", "text": "é",
        "list": [1, 2.5, "x"], "tuple": [1, 2], "nested": {"a": {"b": [{}]}}, "size": [2, 3], "set": [1],
        "3": "three", "null": "null key", "tensor": "<torch._utils._rebuild_tensor_v2>", "dtype": "<torch.float16>",
        "bytes": "ff00", "ordered": {"a": 1},
    });
    assert_eq!(torch.meta(), Some(&expected));
}

#[test]
fn hugging_face_folders_open() {
    let folder = TensorFile::open(fixture("hf_wav2vec2_tiny")).unwrap();
    assert_eq!(folder.kind(), FileKind::HuggingFace);
    assert_eq!(folder.files(), [fixture("hf_wav2vec2_tiny/model.safetensors")]);
    assert_eq!(folder.meta().unwrap()["hidden_size"], 32);
    let bin = TensorFile::open(fixture("hf_wav2vec2_tiny/pytorch_model.bin")).unwrap();
    assert_eq!(bin.kind(), FileKind::Torch);
    assert_equal(&folder, &bin);

    let older = TensorFile::open(fixture("hf_wav2vec2_tiny_pretraining")).unwrap();
    assert_eq!(older.names().len(), 77);
    assert_eq!(older.info("wav2vec2.encoder.pos_conv_embed.conv.weight_g").unwrap().shape.len(), 3);
    let name = "encoder.layers.0.attention.k_proj.weight";
    assert_eq!(older.read_f32(&format!("wav2vec2.{name}")).unwrap(), folder.read_f32(name).unwrap());
}

#[test]
fn shards_are_joined() {
    let scratch = Scratch::new("shards");
    let write = |file: &str, name: &str, values: &[f32]| {
        write_safetensors(
            scratch.path(file),
            [(name, &[values.len()][..], values, StoredAs::F32)],
            &BTreeMap::new(),
        )
        .unwrap();
    };
    let index = |map: &str| {
        std::fs::write(scratch.path("model.safetensors.index.json"), format!("{{\"weight_map\": {map}}}"))
            .unwrap();
    };
    write("a.safetensors", "model.first", &[1.0, 2.0]);
    write("b.safetensors", "model.second", &[3.0]);
    index(r#"{"model.first": "a.safetensors", "model.second": "b.safetensors"}"#);
    let file = TensorFile::open(scratch.folder()).unwrap();
    assert_eq!(file.read_f32("first").unwrap(), [1.0, 2.0]);
    assert_eq!(file.read_f32("second").unwrap(), [3.0]);
    assert_eq!(file.original_name("second"), Some("model.second"));
    assert!(file.meta().is_none());

    for (map, problem) in [
        (
            r#"{"model.first": "b.safetensors", "model.second": "b.safetensors"}"#,
            "`model.first` is not in its shard",
        ),
        (r#"{"model.first": "c.safetensors"}"#, "`c.safetensors`, which is missing"),
        (r#"{"model.first": "../a.safetensors"}"#, "not a plain file name"),
        (r#"{"model.first": "/etc/passwd"}"#, "not a plain file name"),
        ("{}", "names no shards"),
        ("[", "not an index"),
    ] {
        index(map);
        let error = TensorFile::open(scratch.folder()).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[test]
fn own_form_reads_its_toml() {
    let scratch = Scratch::new("toml");
    let path = scratch.path("codec.safetensors");
    write_safetensors(&path, [("weight", &[1][..], &[1.0][..], StoredAs::F32)], &BTreeMap::new()).unwrap();
    assert_eq!(TensorFile::open(&path).unwrap().kind(), FileKind::Safetensors);
    std::fs::write(scratch.path("codec.toml"), "[model]\nwidth = 32\nmade = 2024-05-01\nlevels = [1, 2.5]\n")
        .unwrap();
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.kind(), FileKind::Native);
    let expected = serde_json::json!({"model": {"width": 32, "made": "2024-05-01", "levels": [1, 2.5]}});
    assert_eq!(file.meta(), Some(&expected));
    std::fs::write(scratch.path("codec.toml"), "width = ").unwrap();
    let error = TensorFile::open(&path).unwrap_err();
    assert!(error.to_string().contains("codec.toml: is not TOML"), "{error}");
}

#[test]
fn what_is_written_reads_back() {
    let scratch = Scratch::new("write");
    let path = scratch.path("out.safetensors");
    let odd = [f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE / 4.0, 1.5, -2.25];
    let notes =
        BTreeMap::from([("unils".to_owned(), "0.1.0".to_owned()), ("a".to_owned(), "\"ü\"".to_owned())]);
    let tensors = || {
        [
            ("z.odd", &[2, 3][..], &odd[..], StoredAs::F32),
            ("a.half", &[3][..], &[1.0, 0.1, 65504.0][..], StoredAs::F16),
            ("scalar", &[][..], &[7.0][..], StoredAs::F32),
            ("empty", &[0, 4][..], &[][..], StoredAs::F32),
        ]
    };
    write_safetensors(&path, tensors(), &notes).unwrap();
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["a.half", "empty", "scalar", "z.odd"]);
    assert_eq!(file.notes(), &notes);
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&file.read_f32("z.odd").unwrap()), bits(&odd));
    assert_eq!(bits(file.borrow_f32("z.odd").unwrap()), bits(&odd));
    assert_eq!(file.read_f32("a.half").unwrap(), [1.0, 0.099_975_586, 65504.0]);
    assert_eq!(file.info("a.half").unwrap().dtype, Dtype::F16);
    assert!(file.info("scalar").unwrap().shape.is_empty());
    assert!(file.read_f32("empty").unwrap().is_empty());
    let summary = file.summary();
    assert_eq!((summary.tensors, summary.parameters, summary.bytes), (4, 10, 34));
    assert_eq!(summary.note_keys, ["a", "unils"]);
    assert_eq!(
        summary.groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(),
        ["a", "empty", "scalar", "z"]
    );
    assert_eq!(serde_json::to_value(&summary).unwrap()["dtypes"]["f16"]["parameters"], 3);

    // the format's own crate agrees, the same content gives the same bytes, and nothing else is left in the folder
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(SafeTensors::deserialize(&bytes).unwrap().tensor("z.odd").unwrap().shape(), [2, 3]);
    let again = scratch.path("again.safetensors");
    write_safetensors(&again, tensors().into_iter().rev(), &notes).unwrap();
    assert_eq!(bytes, std::fs::read(&again).unwrap());
    assert_eq!(std::fs::read_dir(scratch.folder()).unwrap().count(), 2);
}

#[test]
fn a_checkpoint_converts_tensor_by_tensor() {
    let scratch = Scratch::new("convert");
    for source in ["checkpoints/torch_variants.pt", "checkpoints/gen_tiny.pt"] {
        let file = TensorFile::open(fixture(source)).unwrap();
        let specs: Vec<_> = file
            .names()
            .map(|name| {
                let info = file.info(name).unwrap();
                TensorSpec { name: name.to_owned(), dtype: info.dtype, shape: info.shape }
            })
            .collect();
        let path = scratch.path("converted.safetensors");
        write_tensors(&path, &specs, &BTreeMap::new(), |_, spec| file.read_bytes(&spec.name)).unwrap();
        let converted = TensorFile::open(&path).unwrap();
        assert_equal(&file, &converted);
        assert!(file.names().all(|name| file.info(name) == converted.info(name)));
    }
}

#[test]
fn a_failed_write_leaves_nothing() {
    let scratch = Scratch::new("failed");
    let path = scratch.path("out.safetensors");
    std::fs::write(&path, "older").unwrap();
    let one = |name: &'static str, shape: &'static [usize], values: &'static [f32], stored| {
        (name, shape, values, stored)
    };
    let cases = [
        vec![one("a", &[2], &[1.0], StoredAs::F32)],
        vec![one("a", &[1], &[1.0], StoredAs::F32), one("a", &[1], &[2.0], StoredAs::F32)],
        vec![one("__metadata__", &[1], &[1.0], StoredAs::F32)],
        vec![one("a", &[usize::MAX, 2], &[], StoredAs::F32)],
        vec![one("a", &[1], &[1e6], StoredAs::F16)],
    ];
    for tensors in cases {
        let error = write_safetensors(&path, tensors, &BTreeMap::new()).unwrap_err();
        assert!(matches!(error, Error::Argument(_)), "{error}");
    }
    let specs = [TensorSpec { name: "a".into(), dtype: Dtype::U8, shape: vec![1] }];
    let interrupted =
        write_tensors(&path, &specs, &BTreeMap::new(), |_, _| Err::<Cow<'_, [u8]>, _>(Error::Interrupted));
    assert!(matches!(interrupted, Err(Error::Interrupted)));
    assert_eq!(std::fs::read(&path).unwrap(), b"older");
    assert_eq!(std::fs::read_dir(scratch.folder()).unwrap().count(), 1);

    let none = std::iter::empty::<(&str, &[usize], &[f32], StoredAs)>;
    for bad in [scratch.path("missing/out.safetensors"), scratch.folder().to_owned()] {
        assert!(matches!(write_safetensors(bad, none(), &BTreeMap::new()), Err(Error::Io { .. })));
    }
}

#[test]
fn prefixes_of_wrappers_come_off() {
    let names = |file: &TensorFile| file.names().map(str::to_owned).collect::<Vec<_>>();
    for (written, expected) in [
        (["module.a.weight", "module.b.weight"], ["a.weight", "b.weight"]),
        (["module.model.net.a", "module.model.net.b"], ["a", "b"]),
        (["model.a", "b.model.c"], ["a", "b.model.c"]),
        (["net.a", "module.module.b"], ["a", "b"]),
    ] {
        let file =
            TensorFile::from_bytes(torch_zip(&pickled_state_dict(&written), &[("0", &[0; 8])]), "w.pt")
                .unwrap();
        assert_eq!(names(&file), expected);
        for (plain, original) in expected.iter().zip(written) {
            assert_eq!(file.original_name(plain), Some(original));
        }
    }
    let collision = torch_zip(&pickled_state_dict(&["module.a", "a"]), &[("0", &[0; 8])]);
    let error = TensorFile::from_bytes(collision, "w.pt").unwrap_err();
    assert!(error.to_string().contains("tensors `a` and `module.a` are both `a`"), "{error}");
}
