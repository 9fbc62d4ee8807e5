//! Responsiveness, intervals and reports on data with known answers.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod metrics_common;

use metrics_common::{Noise, Speech, add_bump, drift};
use unils::metrics::bootstrap::{
    BootstrapOptions, Interval, IntervalKind, bootstrap, mean_interval, paired_difference,
};
use unils::metrics::curves::Curves;
use unils::metrics::paper::{self, Table};
use unils::metrics::report::{Better, Report, comparison};
use unils::metrics::responsiveness::{
    Centring, Exchange, Gesture, ResponseOptions, residual_pearson, responsiveness, responsiveness_against,
    swap_partners,
};
use unils::metrics::voice::Voice;
use unils::motion::FPS;

/// A recording of 300 s: cues every 4 to 8 s, answered with this probability, and responses by chance.
fn exchange(seed: u64, answered: f64, by_chance_per_minute: f64) -> Exchange {
    let mut noise = Noise(seed * 2 + 1);
    let mut even = move || 0.5 + 0.5 * noise.even();
    let (mut cues_s, mut responses_s, mut at) = (Vec::new(), Vec::new(), 2.0);
    while at < 298.0 {
        cues_s.push(at);
        if even() < answered {
            responses_s.push(at + 0.3 + 0.5 * even());
        }
        at += 4.0 + 4.0 * even();
    }
    for _ in 0..(5.0 * by_chance_per_minute) as usize {
        responses_s.push(300.0 * even());
    }
    responses_s.sort_by(f64::total_cmp);
    Exchange { cues_s, responses_s, seconds: 300.0 }
}

#[test]
fn listeners_that_answer_are_told_from_those_that_only_move() {
    let options = ResponseOptions::default();
    let answering: Vec<Exchange> = (1..=12).map(|seed| exchange(seed, 0.5, 6.0)).collect();
    let moving: Vec<Exchange> = (1..=12).map(|seed| exchange(seed + 50, 0.0, 11.0)).collect();
    let result = responsiveness(&answering, &options).unwrap();
    // By chance 0.8 s hold 0.08 of the 6 a minute and 0.067 of the answers: 1 - exp(-0.147) or so.
    assert!((result.rate.unwrap() - 0.54).abs() < 0.06, "{result:?}");
    assert!((result.shuffled_rate.unwrap() - 0.136).abs() < 0.03, "{result:?}");
    let interval = result.interval.unwrap();
    assert!(interval.low > 3.0 && interval.high < 6.0 && result.p_value.unwrap() < 0.01, "{result:?}");
    assert_eq!(interval.estimate, result.ratio.unwrap());

    let result = responsiveness(&moving, &options).unwrap();
    let interval = result.interval.unwrap();
    assert!(interval.low < 1.0 && interval.high > 1.0 && result.p_value.unwrap() > 0.05, "{result:?}");
    assert_eq!(responsiveness(&moving, &options).unwrap(), result, "the seed decides");

    // Another recording's cues say the same, and so do shifts of 3 to 10 s only.
    let swapped = swap_partners(&answering).unwrap();
    let against = responsiveness_against(&answering, &swapped, &options).unwrap();
    assert!(against.ratio.unwrap() > 3.0 && against.p_value.is_none(), "{against:?}");
    let near = ResponseOptions { max_shift_s: Some(10.0), ..options };
    assert!(responsiveness(&answering, &near).unwrap().ratio.unwrap() > 2.5);
}

#[test]
fn answers_count_from_200_to_1000_ms() {
    let cues_s = vec![10.0, 20.0, 30.0, 40.0, 99.5];
    let responses_s = vec![10.19, 20.2, 30.99, 41.01, 99.9];
    let one = Exchange { cues_s, responses_s, seconds: 100.0 };
    let result = responsiveness(&[one], &ResponseOptions::default()).unwrap();
    assert_eq!(
        (result.cues, result.answered, result.responses),
        (4, 2, 5),
        "the last window runs past the end"
    );
    assert_eq!((result.rate, result.interval), (Some(0.5), None));
    let none =
        responsiveness(&[Exchange { seconds: 5.0, ..Exchange::default() }], &ResponseOptions::default())
            .unwrap();
    assert_eq!((none.rate, none.ratio, none.p_value), (None, None, None));
}

#[test]
fn from_sound_and_motion_to_a_ratio() {
    // A partner who pauses, and a listener who nods half a second after each pause; the same listener 20 s later.
    let mut speech = Speech::new(0.001);
    let mut noise = Noise(21);
    let mut ends = Vec::new();
    speech.silence(1.5);
    for _ in 0..30 {
        speech.voice(1.6 + 0.8 * (noise.even() + 1.0), 160.0, 120.0);
        ends.push(speech.seconds());
        speech.silence(1.2 + 0.6 * (noise.even() + 1.0));
    }
    let voice = Voice::analyse(&speech.audio).unwrap();
    let frames = (speech.seconds() * FPS) as usize;
    let ratio = |delay: f64| {
        let mut head_pitch = drift(frames, 0.02, 3);
        ends.iter().for_each(|end| add_bump(&mut head_pitch, (end + delay) * FPS, 12.0, 0.08));
        let curves = Curves { fps: FPS, head_pitch, ..Curves::default() };
        assert!(Exchange::observe(&voice, &curves, Gesture::Smile).unwrap_err().hint().is_some());
        let exchange = Exchange::observe(&voice, &curves, Gesture::Nod).unwrap();
        responsiveness(&[exchange], &ResponseOptions::default()).unwrap()
    };
    let listening = ratio(0.5);
    assert!(listening.rate.unwrap() > 0.7 && listening.ratio.unwrap() > 2.0, "{listening:?}");
    assert!(listening.p_value.unwrap() < 0.05, "{listening:?}");
    let deaf = ratio(20.3);
    assert!(deaf.ratio.unwrap() < 1.6, "{deaf:?}");
}

/// `np.corrcoef(a.ravel(), b.ravel())[0, 1]` by hand for three frames of two channels.
#[test]
fn the_residual_correlation_is_the_published_one() {
    let partner = [0.0, 1.0, 1.0, 2.0, 2.0, 3.0];
    let truth = [0.0, 2.0, 2.0, 4.0, 4.0, 6.0]; // r = 1.25 / sqrt(...): see below
    let r = |a: &[f32]| {
        let mean = |x: &[f32]| x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64;
        let (ma, mb) = (mean(a), mean(&partner));
        let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
        for (x, y) in a.iter().zip(&partner) {
            let (x, y) = (f64::from(*x) - ma, f64::from(*y) - mb);
            (aa, bb, ab) = (aa + x * x, bb + y * y, ab + x * y);
        }
        ab / (aa * bb).sqrt()
    };
    let made = [3.0, 1.0, 2.0, 0.0, 1.0, -1.0];
    let found = residual_pearson(&made, &truth, &partner, 2, Centring::AsPublished).unwrap().unwrap();
    assert!((found - (r(&truth) - r(&made)).abs()).abs() < 1e-12);
    assert_eq!(residual_pearson(&truth, &truth, &partner, 2, Centring::AsPublished).unwrap(), Some(0.0));
    // Without the channels' rest, the truth goes with its partner fully and the made motion against it.
    let centred = residual_pearson(&made, &truth, &partner, 2, Centring::PerChannel).unwrap().unwrap();
    assert!((centred - 2.0).abs() < 1e-12, "{centred}");
    assert_eq!(residual_pearson(&[0.5; 6], &truth, &partner, 2, Centring::AsPublished).unwrap(), None);
    assert!(residual_pearson(&made[..4], &truth, &partner, 2, Centring::AsPublished).is_err());
    assert!(residual_pearson(&made, &truth, &partner, 4, Centring::AsPublished).is_err());
    assert!(residual_pearson(&[f32::NAN; 6], &truth, &partner, 2, Centring::AsPublished).is_err());
}

#[test]
fn intervals_cover_the_truth_as_often_as_they_say() {
    for kind in [IntervalKind::Percentile, IntervalKind::Bca] {
        let mut noise = Noise(77);
        let options = BootstrapOptions { kind, resamples: 400, ..BootstrapOptions::default() };
        let covered = (0..300)
            .filter(|_| {
                let values: Vec<f64> = (0..40).map(|_| 3.0 + noise.normal()).collect();
                let interval = mean_interval(&values, &options).unwrap().unwrap();
                interval.low <= 3.0 && 3.0 <= interval.high
            })
            .count();
        assert!((270..=297).contains(&covered), "{kind:?}: {covered} of 300, expected 285");
    }
}

#[test]
fn skewed_statistics_get_skewed_intervals() {
    let mut noise = Noise(5);
    let values: Vec<f64> = (0..60).map(|_| (0.8 * noise.normal()).exp()).collect();
    let with = |kind| {
        let options = BootstrapOptions { kind, ..BootstrapOptions::default() };
        mean_interval(&values, &options).unwrap().unwrap()
    };
    let (plain, moved) = (with(IntervalKind::Percentile), with(IntervalKind::Bca));
    assert!(moved.low > plain.low && moved.high > plain.high, "{plain:?} {moved:?}");
    assert_eq!(with(IntervalKind::Bca), moved, "the seed decides");
}

/// `scipy.stats.bootstrap((x,), f, n_resamples=200000, method=m, random_state=1)`, SciPy 1.17, for
/// `x = exp(sin(1.7 i)), i = 0 .. 24`; `f` is `np.mean`, then the biased `np.std`.
#[test]
fn scipys_intervals_come_out() {
    let values: Vec<f64> = (0..25).map(|i| (1.7 * f64::from(i)).sin().exp()).collect();
    let mean = |drawn: &[usize]| drawn.iter().map(|&i| values[i]).sum::<f64>() / drawn.len() as f64;
    let deviation = |drawn: &[usize]| {
        let mean = mean(drawn);
        (drawn.iter().map(|&i| (values[i] - mean).powi(2)).sum::<f64>() / drawn.len() as f64).sqrt()
    };
    for (kind, of_mean, of_deviation) in [
        (IntervalKind::Percentile, [0.984_22, 1.629_31], [0.638_05, 0.934_36]),
        (IntervalKind::Bca, [0.998_00, 1.646_51], [0.689_15, 0.964_59]),
    ] {
        let options = BootstrapOptions { kind, resamples: 50_000, ..BootstrapOptions::default() };
        let check = |interval: Interval, [low, high]: [f64; 2]| {
            let off = (interval.low - low).abs().max((interval.high - high).abs());
            assert!(off < 0.008, "{kind:?}: {interval:?}, expected {low} to {high}");
        };
        check(mean_interval(&values, &options).unwrap().unwrap(), of_mean);
        check(bootstrap(25, &options, |drawn| Some(deviation(drawn))).unwrap().unwrap(), of_deviation);
    }
}

#[test]
fn paired_comparison_sees_what_unpaired_does_not() {
    let mut noise = Noise(31);
    let b: Vec<f64> = (0..30).map(|_| 10.0 + 5.0 * noise.normal()).collect();
    let a: Vec<f64> = b.iter().map(|x| x - 0.5 + 0.3 * noise.normal()).collect();
    let options = BootstrapOptions::default();
    let result = paired_difference(&a, &b, &options).unwrap().unwrap();
    assert!(result.difference.high < 0.0 && result.share_lower > 0.999, "{result:?}");
    let (alone_a, alone_b) =
        (mean_interval(&a, &options).unwrap().unwrap(), mean_interval(&b, &options).unwrap().unwrap());
    assert!(alone_a.high > alone_b.low);
    let same = paired_difference(&a, &a, &options).unwrap().unwrap();
    assert_eq!((same.difference.estimate, same.share_lower), (0.0, 0.5));
    assert!(paired_difference(&a, &b[1..], &options).is_err());
    assert!(mean_interval(&[1.0, f64::NAN], &options).is_err());
    assert_eq!(mean_interval(&[1.0], &options).unwrap(), None);
    assert!(bootstrap(3, &BootstrapOptions { level: 1.0, ..options }, |_| Some(0.0)).is_err());
    assert!(bootstrap(3, &BootstrapOptions { resamples: 1, ..options }, |_| Some(0.0)).is_err());
}

#[test]
fn hostile_exchanges_are_refused() {
    let good = Exchange { cues_s: vec![1.0], responses_s: vec![2.0], seconds: 10.0 };
    let options = ResponseOptions::default();
    for bad in [
        Exchange { cues_s: vec![2.0, 1.0], ..good.clone() },
        Exchange { cues_s: vec![11.0], ..good.clone() },
        Exchange { responses_s: vec![f64::NAN], ..good.clone() },
        Exchange { seconds: f64::INFINITY, ..good.clone() },
        Exchange { seconds: 0.0, ..good.clone() },
    ] {
        assert!(responsiveness(&[bad], &options).is_err());
    }
    assert!(responsiveness(&[], &options).is_err());
    assert!(swap_partners(std::slice::from_ref(&good)).is_err());
    assert!(responsiveness_against(std::slice::from_ref(&good), &[], &options).is_err());
    let overlapping = ResponseOptions { min_shift_s: 0.5, ..options };
    assert!(responsiveness(&[good], &overlapping).is_err());
}

fn report(system: &str, shift: f64) -> Report {
    let mut report = Report::new(system, "test | split");
    for i in 0..8 {
        let value = 5.0 + shift + f64::from(i % 4);
        let listening = (i != 3).then_some(17.0 + shift);
        report.add(&format!("call_{i}"), [("S-LVE", Some(value)), ("L-FDD", listening)]).unwrap();
    }
    report.add("call_0", [("blinks/min", Some(18.0))]).unwrap();
    report.add_overall("F-FID", 4.0 + shift, None).unwrap();
    report.summarise(&BootstrapOptions::default()).unwrap();
    report
}

#[test]
fn reports_are_tables_and_json() {
    let ours = report("full", 0.0);
    let text = ours.to_markdown();
    assert!(
        text.starts_with("full on test \\| split\n\n| score | value | 95 % interval | recordings |\n"),
        "{text}"
    );
    assert!(text.contains("| S-LVE | 6.500 | 5.750 to 7.375 | 8 |"), "{text}");
    assert!(text.contains("| L-FDD | 17.00 | 17.00 to 17.00 | 7 |"), "{text}");
    assert!(
        text.contains("| blinks/min | 18.00 | - | 1 |") && text.contains("| F-FID | 4.000 | - | 8 |"),
        "{text}"
    );

    let again = Report::from_json(&ours.to_json().unwrap(), "report.json").unwrap();
    assert_eq!(again, ours);
    assert!(
        Report::from_json("{}", "report.json")
            .unwrap_err()
            .to_string()
            .starts_with("report.json: not an eval")
    );

    let beside = ours.against_paper(paper::row(Table::Main, "unils").unwrap());
    assert!(beside.contains("| S-LVE | 6.500 | 5.830 | +0.670 (+11.5 %) |"), "{beside}");
    assert!(beside.contains("| S-MHD | - | 1.890 | - |"), "{beside}");

    let other = report("without", 1.0);
    let rows = [*paper::row(Table::Ablation, "full").unwrap()];
    let table = comparison(
        &[ours.clone(), other.clone()],
        &[],
        &[("S-LVE", Better::Lower), ("F-FID", Better::Higher), ("blinks/min", Better::Neither)],
        &rows,
    );
    let expected = "| system | S-LVE | F-FID | blinks/min |\n| --- | --: | --: | --: |\n\
                    | full | **6.500** | 4.000 | 18.00 |\n| without | 7.500 | **5.000** | 18.00 |\n\
                    | paper: full | 5.830 | 4.300 | - |\n";
    assert_eq!(table, expected);
    let difference = ours.compare(&other, "L-FDD", &BootstrapOptions::default()).unwrap().unwrap();
    assert_eq!((difference.difference.estimate, difference.share_lower), (-1.0, 1.0));
    assert_eq!(ours.compare(&other, "blinks/min", &BootstrapOptions::default()).unwrap(), None);

    let against = ours.against(&other, &BootstrapOptions::default()).unwrap();
    assert_eq!((against.recordings, &against.caveats), (8, &Vec::new()));
    let text = against.to_markdown("full");
    assert!(text.starts_with("| score | full | without | difference | 95 % interval |"), "{text}");
    assert!(text.contains("| S-LVE | 6.500 | 7.500 | **-1.000** | -1.000 to -1.000 |"), "{text}");
    assert!(!text.contains("blinks/min"), "one recording has it: {text}");
    let mut elsewhere = Report::new("without", "val");
    elsewhere.add("call_1", [("S-LVE", Some(1.0))]).unwrap();
    let against = ours.against(&elsewhere, &BootstrapOptions::default()).unwrap();
    assert!(against.scores.is_empty());
    assert!(against.caveats[0].contains("1 of 8 recordings"), "{:?}", against.caveats);
    assert!(against.caveats[1].contains("of val there"), "{:?}", against.caveats);
    // The same recordings in another place are the same.
    let (mut here, mut there) = (ours.clone(), elsewhere);
    for report in [&mut here, &mut there] {
        report.settings.insert("data".into(), "5 recordings, 0123".into());
    }
    there.settings.insert("seed".into(), "7".into());
    let against = here.against(&there, &BootstrapOptions::default()).unwrap();
    assert_eq!(against.caveats[1..], ["seed is not set here, 7 there"]);

    let mut twice = ours.clone();
    assert!(twice.add("call_1", [("S-LVE", Some(1.0))]).is_err());
    assert!(twice.add("call_9", [("S-LVE", Some(f64::NAN))]).is_err());
    assert!(twice.add_overall("F-FID", 1.0, None).is_err());
}

#[test]
fn the_papers_tables_are_whole() {
    assert_eq!(Table::Main.rows().len(), 5);
    let ours = paper::row(Table::Main, "UniLS").unwrap();
    let best = |metric: &str| {
        let values = Table::Main.rows().iter().filter_map(|row| row.value(metric));
        values.fold(f64::INFINITY, f64::min)
    };
    assert!(paper::METRICS.iter().all(|metric| ours.value(metric) == Some(best(metric))));
    // The headline: 44.1 % less L-FDD than with a second audio input.
    let second = paper::row(Table::Main, "ARTalk + second audio input").unwrap().value("L-FDD").unwrap();
    assert!((1.0 - ours.value("L-FDD").unwrap() / second - 0.441).abs() < 5e-4);
    assert_eq!(paper::row(Table::Ablation, "audio-free stage alone").unwrap().value("S-LVE"), None);
}
