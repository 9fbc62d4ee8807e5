//! The whole recipe in small: codec, prior, conversational model, scores; and the variants that it is compared with.

#![allow(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

mod conversations;

use std::ops::ControlFlow;
use std::time::Instant;

use conversations::{Folder, write_corpus};
use unils::Error;
use unils::metrics::report::Report;
use unils::model::ModelConfig;
use unils_train::ablate::{Ablation, Happening, Variant};
use unils_train::evaluate::{People, Protocol};
use unils_train::recipe::{Recipe, Stage, caveat, model_of_stage};
use unils_train::run::DataConfig;
use unils_train::trainer::{Event, TrainerOptions};

fn ablation(folder: &Folder, variants: &[Variant], steps: Option<u64>) -> Ablation {
    let mut recipe = Recipe::preset("tiny").unwrap();
    if let Some(steps) = steps {
        for stage in [&mut recipe.codec, &mut recipe.audio_free, &mut recipe.dual_track] {
            *stage = stage.with(&format!("steps={steps}")).unwrap().with("check_every=4").unwrap();
        }
    }
    Ablation {
        folder: folder.at("ablation"),
        model: ModelConfig::preset("tiny").unwrap(),
        recipe,
        data: DataConfig { path: folder.at("data"), metadata: None },
        codec: None,
        encoder: None,
        flame: None,
        seed: 3,
        variants: variants.to_vec(),
        protocol: Protocol { people: People::All, ..Protocol::release() },
        options: TrainerOptions::default(),
    }
}

#[test]
fn the_recipe_beats_a_face_that_stands_still() {
    let folder = Folder::new("recipe");
    write_corpus(&folder.at("data"), 12, 400);
    let begun = Instant::now();
    let ablated = ablation(&folder, &[Variant::Full], None).run(&mut |_| ControlFlow::Continue(())).unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let ([full], [codec, still]) = (ablated.variants.as_slice(), &ablated.bounds) else { panic!("variants") };
    eprintln!("{seconds:.0} s\n{}", full.to_markdown());
    let of = |report: &Report, metric| report.mean(metric).unwrap();
    for metric in ["S-LVE", "S-MHD", "S-FDD", "S-JDD", "L-FDD", "L-PDD", "F-FID", "P-FID"] {
        let (ours, theirs) = (of(full, metric), of(still, metric));
        assert!(ours < theirs, "{metric}: {ours}, a still face {theirs}");
        assert!(of(codec, metric) < theirs, "{metric}: the codec");
    }
    // The mouth follows its own voice, at the right time, and rests while the other speaks.
    assert!(of(full, "lips r voice") > 0.6);
    assert!(of(full, "lips offset, frames").abs() < 1.0);
    assert!(of(full, "lips open in silence") < 0.3);
}

#[test]
fn an_ablation_goes_on_where_it_was_stopped() {
    let folder = Folder::new("ablation");
    write_corpus(&folder.at("data"), 2, 160);
    let ablation = ablation(&folder, &Variant::ALL, Some(8));
    let mut steps = 0;
    // Stopped again and again: after every seventh step, and once while scoring.
    let (mut stops, mut is_scored) = (0, false);
    let ablated = loop {
        let done = ablation.run(&mut |happening| match happening {
            Happening::Step(_, Event::Step(_)) => {
                steps += 1;
                if steps % 7 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            Happening::Scoring("mixed_audio", _) if !is_scored => {
                is_scored = true;
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        match done {
            Ok(ablated) => break ablated,
            Err(Error::Interrupted) => stops += 1,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!((steps, stops), (6 * 8, 7));
    let names: Vec<&str> = ablated.variants.iter().map(|report| report.system.as_str()).collect();
    let expected = ["full", "audio_free", "mixed_audio", "single_stage", "own_voice_only"];
    assert_eq!(names, expected);
    let differences = ablated.differences(&ablation.protocol).unwrap();
    assert!(
        differences
            .iter()
            .any(|difference| difference.system == "single_stage" && difference.metric == "L-FDD")
    );
    // A second look finds everything done; other settings are refused.
    assert_eq!(ablation.run(&mut |_| ControlFlow::Continue(())).unwrap(), ablated);
    let other = Ablation { seed: 4, ..ablation };
    let error = other.run(&mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("other settings"), "{error}");
}

#[test]
fn clips_that_hardly_show_the_past_are_told() {
    let model = model_of_stage(&ModelConfig::preset("live").unwrap(), Stage::DualTrack).unwrap();
    let recipe = Recipe::preset("live").unwrap().dual_track;
    assert_eq!(caveat(&model, &recipe), None);
    let told = caveat(&model, &recipe.with("clip=100").unwrap()).unwrap();
    assert!(told.contains("clips of 50 windows") && told.contains("past of 50"), "{told}");
    assert!(told.contains("200 frames"), "{told}");
    // The codec alone has no such past, long windows have none.
    let codec = model_of_stage(&model, Stage::Codec).unwrap();
    assert_eq!(caveat(&codec, &recipe.with("clip=100").unwrap()), None);
    assert_eq!(caveat(&ModelConfig::preset("paper").unwrap(), &recipe), None);
}
