//! Every kind of input that cannot be used: a clear error, its exit code, no panic, no file left.

use crate::support::*;

/// Runs `animate` on a file of these bytes with the tiny model.
fn animate(folder: &Folder, name: &str, bytes: &[u8]) -> Ran {
    folder.with(name, bytes);
    let ran = run(folder, &format!("animate {name} {} -o out.npz", tiny()), &[]);
    if ran.code != 0 {
        assert!(!folder.file("out.npz").exists());
    }
    ran
}

#[test]
fn audio_that_cannot_be_used() {
    let folder = Folder::new();
    let good = wav(16_000, &[voice(16_000, 1.0, 200.0)]);
    let nan: Vec<u8> = [0.1_f32, f32::NAN, 0.2].iter().flat_map(|sample| sample.to_le_bytes()).collect();
    for (name, bytes) in [
        ("empty.wav", Vec::new()),
        ("header.wav", good[..30].to_vec()),
        ("nothing.wav", wav_of(1, 16, 16_000, 1, &[])),
        ("nan.wav", wav_of(3, 32, 16_000, 1, &nan)),
        ("zero.wav", wav_of(1, 16, 0, 1, &[0; 64])),
        ("text.wav", b"this is no audio at all, only text".to_vec()),
        ("eight.wav", wav(16_000, &vec![voice(16_000, 0.2, 200.0); 8])),
    ] {
        let ran = animate(&folder, name, &bytes);
        ran.fails(3, name);
        assert!(ran.err.contains("hint: "), "{name}: {}", ran.err);
    }
    assert_eq!(folder.names().iter().filter(|name| name.contains("part")).count(), 0);
}

#[test]
fn odd_audio_that_can_be_used() {
    let folder = Folder::new();
    let good = wav(16_000, &[voice(16_000, 1.0, 200.0)]);
    let loud: Vec<f32> =
        voice(16_000, 1.0, 200.0).iter().map(|sample| (sample * 20.0).clamp(-1.0, 1.0)).collect();
    let eight: Vec<_> = (0..8).map(|channel| voice(16_000, 0.2, 100.0 + 20.0 * f64::from(channel))).collect();
    for (name, bytes, notice) in [
        ("cut.wav", good[..10_000].to_vec(), "cut"),
        ("silent.wav", wav(16_000, &[vec![0.0; 16_000]]), "silent"),
        ("one.wav", wav(16_000, &[vec![0.5]]), "partner is silent"),
        ("clipped.wav", wav(16_000, &[loud]), "clipped samples"),
    ] {
        let ran = animate(&folder, name, &bytes);
        assert!(ran.succeeds().err.contains(notice), "{name}: {}", ran.err);
    }
    folder.with("eight.wav", &wav(16_000, &eight));
    run(&folder, &format!("animate eight.wav --channels 2,7 {} -o eight.npz", tiny()), &[]).succeeds();
    run(&folder, &format!("animate eight.wav --channels 2,8 {} -o x.npz", tiny()), &[]).fails(3, "channel 8");
}

#[test]
fn checkpoints_that_cannot_be_used() {
    let folder = Folder::new();
    folder.with("talk.wav", &wav(16_000, &[voice(16_000, 0.5, 200.0)]));
    let good = std::fs::read(fixture("checkpoints/gen_tiny.pt")).unwrap();
    let attack = std::fs::read(fixture("fuzz/pickle/attack.pkl")).unwrap();
    folder.with("empty.pt", b"");
    folder.with("cut.pt", &good[..good.len() / 2]);
    folder.with("attack.pt", &attack);
    folder.with("zipped.pt", &stored_zip("archive/data.pkl", &attack));
    folder.with("page.pt", b"<!doctype html><html>");
    let encoder = fixture("hf_wav2vec2_tiny");
    let animate = |checkpoint: &str, options: &str| {
        run(&folder, &format!("animate talk.wav --checkpoint {checkpoint} {options} -o out.npz"), &[])
    };
    let listening = format!("--encoder {}", encoder.display());
    for name in ["empty.pt", "cut.pt", "attack.pt", "zipped.pt", "page.pt"] {
        let ran = animate(name, &listening);
        ran.fails(5, name);
        // `inspect` says the same.
        run(&folder, &format!("inspect {name}"), &[]).fails(5, name);
    }
    let fixture = |name: &str| fixture(name).display().to_string();
    let generator = fixture("checkpoints/gen_tiny.pt");
    animate(&fixture("checkpoints/codec_tiny.pt"), &listening).fails(5, "codec").hints("generator");
    animate(&generator, &format!("{listening} --preset paper")).fails(5, "does not fit").hints("preset");
    animate(&generator, &format!("--encoder {}", fixture("checkpoints"))).fails(5, "checkpoints");
    animate(&generator, &format!("--encoder {}", fixture("hf_wav2vec2_missing"))).fails(4, "cannot open");
    animate(&generator, &format!("{listening} --stats {generator}")).fails(3, "gen_tiny.pt");
    let ran = animate("missing.pt", &listening);
    ran.fails(4, "missing.pt").hints("spelling");
    assert_eq!(ran.err.matches("(os error 2)").count(), 1, "{}", ran.err);
    assert!(!folder.file("out.npz").exists());
    // The attack would have made a file.
    assert!(!folder.names().iter().any(|name| name.contains("pwned") || name.contains("hacked")));
}

/// A zip with one stored file, which is the form of `torch.save`.
fn stored_zip(name: &str, bytes: &[u8]) -> Vec<u8> {
    let crc = !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    });
    let sizes = [bytes.len() as u32; 2].map(u32::to_le_bytes).concat();
    let mut common = vec![0_u8; 6];
    common.extend(0_u32.to_le_bytes());
    common.extend(crc.to_le_bytes());
    common.extend(sizes);
    common.extend((name.len() as u16).to_le_bytes());
    common.extend(0_u16.to_le_bytes());
    let mut file = b"PK\x03\x04".to_vec();
    file.extend(&common);
    file.extend(name.as_bytes());
    file.extend(bytes);
    let start = file.len() as u32;
    file.extend(b"PK\x01\x02\x14\0");
    file.extend(&common);
    file.extend([0; 14]);
    file.extend(name.as_bytes());
    let size = file.len() as u32 - start;
    file.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    file.extend(size.to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0; 2]);
    file
}

#[test]
fn clips_that_do_not_fit() {
    let folder = Folder::new();
    folder.with("talk.wav", &wav(16_000, &[voice(16_000, 0.5, 200.0)]));
    let motion = |name: &str| fixture("fuzz/motion").join(name).display().to_string();
    folder.with("broken.npz", b"PK\x03\x04 and then nothing");
    for option in ["--style", "--previous"] {
        let animate = |file: &str| {
            run(&folder, &format!("animate talk.wav {} {option} {file} -o out.npz", tiny()), &[])
        };
        // ARKit motion, but the model is of FLAME.
        animate(&motion("talk.csv")).fails(3, "arkit55");
        animate("broken.npz").fails(3, "broken.npz");
        animate("talk.wav").fails(2, "names no motion format").hints(".npz");
        animate("gone.npz").fails(4, "gone.npz");
    }
}

#[test]
fn outputs_are_checked_before_the_work_begins() {
    let folder = Folder::new();
    folder.with("talk.wav", &wav(16_000, &[voice(16_000, 0.5, 200.0)]));
    std::fs::create_dir(folder.file("folder.npz")).unwrap();
    // No model is named: an error about the output comes first.
    for (outputs, code, what) in [
        ("-o out.mov", 2, ".mov"),
        ("-o out", 2, "ending"),
        ("-o out.npz -o out.npz", 2, "twice"),
        ("-o out.npz -o ./out.npz", 2, "twice"),
        ("-o out.npz -o missing/out.csv", 4, "missing/out.csv"),
        ("-o folder.npz", 4, "folder.npz"),
        ("-o /dev/null/out.npz", 4, "/dev/null/out.npz"),
    ] {
        run(&folder, &format!("animate talk.wav {outputs}"), &[]).fails(code, what);
    }
    assert_eq!(folder.names(), ["folder.npz", "talk.wav"]);
}

#[test]
#[cfg(target_os = "linux")]
fn full_disks_and_closed_pipes() {
    let folder = Folder::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran =
        ran(program(&folder).args(["completions", "bash"]).stdout(full).stderr(std::process::Stdio::piped()));
    ran.fails(4, "standard output").hints("disk is full");
    // The reader goes away before anything is written.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = crate::support::ran(program(&folder).args(["completions", "bash"]).stdout(writer));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

/// A limit on file sizes acts as a full disk does: writing fails halfway.
#[test]
#[cfg(unix)]
fn a_disk_that_fills_up_leaves_nothing() {
    let folder = Folder::new();
    folder.with("talk.wav", &wav(16_000, &[voice(16_000, 1.0, 200.0)]));
    folder.with("out.csv", b"older");
    let line = format!("trap '' 25; ulimit -f 8; exec \"$0\" animate talk.wav {} -o out.csv", tiny());
    let mut command = program(&folder);
    let mut shell = std::process::Command::new("sh");
    shell.current_dir(folder.path()).args(["-c", &line, &command.get_program().to_string_lossy()]);
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    ran(&mut shell).fails(4, "cannot write out.csv");
    assert_eq!(folder.names(), ["out.csv", "talk.wav"]);
    assert_eq!(std::fs::read(folder.file("out.csv")).unwrap(), b"older");
    // The same without the limit.
    command.args(format!("animate talk.wav {} -o out.csv", tiny()).split(' '));
    ran(&mut command).succeeds();
}

#[test]
#[cfg(unix)]
fn files_without_permission() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    let talk = folder.with("talk.wav", &wav(16_000, &[voice(16_000, 0.1, 200.0)]));
    std::fs::set_permissions(&talk, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&talk).is_ok() {
        // The administrator may read everything.
        return;
    }
    run(&folder, &format!("animate talk.wav {} -o out.npz", tiny()), &[])
        .fails(4, "talk.wav")
        .hints("who may read");
}

#[test]
fn usage_is_checked() {
    let folder = Folder::new();
    for line in [
        "",
        "animate",
        "frobnicate",
        "animate a.wav -o a.npz --cfg lots",
        "animate a.wav -o a.npz --gaze 20",
        "animate a.wav -o a.npz --gaze 0,-31",
        "animate a.wav -o a.npz --liveliness 2.1",
        "animate a.wav -o a.npz --device tpu",
    ] {
        let ran = run(&folder, line, &[]);
        assert_eq!(ran.code, 2, "{line}: {}", ran.err);
        assert_eq!(ran.out, "");
    }
    run(&folder, "animate gone.wav -o a.npz", &[]).fails(4, "gone.wav").hints("spelling");
    folder.with("a.wav", &wav(16_000, &[voice(16_000, 0.1, 200.0)]));
    run(&folder, "animate a.wav a.wav --mix -o a.npz", &[]).fails(2, "--mix");
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_device_that_is_not_built_in() {
    let folder = Folder::new();
    folder.with("a.wav", &wav(16_000, &[voice(16_000, 0.1, 200.0)]));
    let ran = run(&folder, &format!("animate a.wav {} --device cuda -o a.npz", tiny()), &[]);
    ran.fails(6, "cuda").hints("--features cuda");
}
