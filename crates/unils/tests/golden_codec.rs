//! The codec against the released code's tensors, on both routes.

mod common;

use burn::tensor::Tensor;
use common::{FORWARD, Golden, ROUTES, codec, values};
use unils::nn::Rotary;

#[test]
fn encoder_and_quantiser() {
    let golden = Golden::open("codec.safetensors");
    for pack in ROUTES {
        let codec = codec(pack);
        let encoder = codec.encoder();
        let normalized = codec.normalize(golden.tensor("motion_code"));
        golden.check("enc_in", normalized.clone(), FORWARD);
        let mut x = encoder.embed(normalized);
        golden.check("enc_after_inp_mapping", x.clone(), FORWARD);
        for layer in 0..encoder.depth() {
            x = encoder.attend(layer, x, None);
            golden.check(&format!("enc_block{}", 2 * layer), x.clone(), FORWARD);
            x = encoder.feed_forward(layer, x);
            golden.check(&format!("enc_block{}", 2 * layer + 1), x.clone(), FORWARD);
        }
        let latent = encoder.project(x);
        golden.check("enc_out", latent.clone(), FORWARD);
        let quantizer = codec.quantizer();
        let quantized = quantizer.quantize(latent);
        for (k, scale) in quantized.scales.iter().enumerate() {
            golden.check(&format!("level{k}.residual_in"), scale.residual.clone(), FORWARD);
            golden.check(&format!("level{k}.z"), scale.unit.clone(), FORWARD);
            golden.check(&format!("level{k}.quantized_up"), scale.up.clone(), FORWARD);
            let range = quantizer.schedule().range(k);
            let bits = quantized.bits.clone().slice([0..2, range, 0..8]);
            golden.check_exact(&format!("level{k}.bits"), bits);
        }
        golden.check("vq_out", quantized.sum, FORWARD);
        golden.check_exact("bits", quantized.bits);
    }
}

#[test]
fn auxiliary_losses() {
    let golden = Golden::open("codec.safetensors");
    let codec = codec(false);
    let quantized = codec.quantizer().quantize(golden.tensor("enc_out"));
    let losses = codec.quantizer().losses(&quantized);
    let mut totals = Vec::new();
    for (k, loss) in losses.into_iter().enumerate() {
        golden.check_values(&format!("level{k}.commit_loss"), &values(loss.commit), FORWARD);
        golden.check_values(&format!("level{k}.persample_entropy"), &values(loss.sample_entropy), FORWARD);
        golden.check_values(&format!("level{k}.codebook_entropy"), &values(loss.batch_entropy), FORWARD);
        let total = values(loss.total);
        golden.check_values(&format!("level{k}.aux_loss"), &total, FORWARD);
        totals.extend(total);
    }
    golden.check_values("vq_losses", &totals, FORWARD);
    golden.check_values("vq_loss", &[totals.iter().sum::<f32>() / totals.len() as f32], FORWARD);
}

#[test]
fn flipped_bits_are_repaired_by_later_scales() {
    let golden = Golden::open("codec.safetensors");
    let codec = codec(false);
    let flips: Vec<Tensor<3>> = (0..4).map(|k| golden.tensor(&format!("flip.level{k}.mask"))).collect();
    let quantized = codec.quantizer().quantize_flipping(golden.tensor("enc_out"), &flips);
    golden.check_exact("flip.real_bits", quantized.bits);
    golden.check_exact("flip.flip_bits", quantized.coded_bits);
}

#[test]
fn feature_views() {
    let golden = Golden::open("codec.safetensors");
    let codec = codec(false);
    let quantizer = codec.quantizer();
    let bits: Tensor<3> = golden.tensor("bits");
    golden.check("vq_feat_from_bits", quantizer.sum(bits.clone()), FORWARD);
    golden.check("accum_next", quantizer.accumulated_next(bits.clone()), FORWARD);
    golden.check("accum_curr", quantizer.accumulated(bits.clone()), FORWARD);
    golden.check("local_next", quantizer.local_next(bits.clone()), FORWARD);
    golden.check("local_curr", quantizer.values(bits.clone()), FORWARD);
    for k in 0..4 {
        let tokens = quantizer.schedule().range(k).end;
        let first = bits.clone().slice([0..2, 0..tokens, 0..8]);
        golden.check(&format!("accum_next_upto{k}"), quantizer.accumulated_next(first.clone()), FORWARD);
        golden.check(&format!("local_next_upto{k}"), quantizer.local_next(first), FORWARD);
    }
    golden.check("flip.accum_next", quantizer.accumulated_next(golden.tensor("flip.flip_bits")), FORWARD);
}

#[test]
fn decoder_and_reconstruction() {
    let golden = Golden::open("codec.safetensors");
    for pack in ROUTES {
        let codec = codec(pack);
        let sum = golden.tensor("vq_out");
        golden.check("pred_motion_code", codec.decode(sum), FORWARD);
        let (motion, bits) = codec.reconstruct(golden.tensor("infer.motion_code"));
        golden.check("infer.pred_motion_code", motion, FORWARD);
        for (window, bits) in bits.into_iter().enumerate() {
            golden.check_exact(&format!("infer.bits{window}"), bits);
        }
        let nothing = codec.encode(Tensor::zeros([1, 20, 108], &burn::tensor::Device::flex()));
        let nothing = codec.quantizer().quantize(nothing);
        golden.check("zero_motion.sum_feat", nothing.sum, FORWARD);
        golden.check_exact("zero_motion.bits", nothing.bits);
    }
}

#[test]
fn rotary_embedding() {
    let golden = Golden::open("codec.safetensors");
    let positions: Vec<usize> = (0..20).collect();
    let rotary = Rotary::new(&positions, 8, &burn::tensor::Device::flex());
    golden.check("rope.out", rotary.apply(golden.tensor("rope.in")), FORWARD);
}
