//! Which tensors a stage trains.

use unils::nn::Role;

/// What the dual-track stage does with a tensor of the generator, by its name in checkpoints: the attentions to the
/// voices are trained, the linear layers around them get adapters, all else stays as the audio-free stage left it.
/// The voices' embeddings stay at their random start, as in the release.
pub fn dual_track_role(name: &str) -> Role {
    let has = |part: &str| name.split('.').any(|piece| piece == part);
    if has("self_audio_attn") || has("other_audio_attn") {
        Role::Trained
    } else if ["code_token_embed", "history_embed", "logits_head", "self_attn", "ffn"].into_iter().any(has) {
        Role::Adapted
    } else {
        Role::Frozen
    }
}
