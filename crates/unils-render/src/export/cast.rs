//! Who shows the motion: a face for each participant, and the way from the motion's space to the face's.

use std::path::Path;

use unils::face::flame::{Flame, FlameFace};
use unils::face::transfer::Transfer;
use unils::face::{BlendshapeRig, DefaultLook, Face, default_head, open_head};
use unils::file::npz::Npz;
use unils::motion::{Motion, Space, joints_only};
use unils::{Error, Result};

/// One face.
#[derive(Debug)]
pub enum Actor {
    /// A head with blend shapes.
    Rig(Box<BlendshapeRig>),
    /// FLAME's mean identity.
    Flame(Box<FlameFace>),
}

impl Actor {
    /// A face by its name: `a` or `b` for the looks of the head that comes with the library, else a file: a head
    /// ([`open_head`]) or a FLAME model (`.pkl`, `.pt`, `.npz`). The second value says what was odd about it.
    ///
    /// # Errors
    /// Those of the readers.
    pub fn open(name: &str) -> Result<(Self, Vec<String>)> {
        let look = DefaultLook::ALL.into_iter().find(|look| look.name() == name);
        if let Some(look) = look {
            return Ok((Self::Rig(Box::new(default_head(look)?)), Vec::new()));
        }
        let path = Path::new(name);
        if is_flame(path)? {
            let flame = Flame::open(path)?;
            return Ok((Self::Flame(Box::new(FlameFace::new(&flame, &[])?)), Vec::new()));
        }
        if !path.exists() {
            return Err(Error::argument("--face", format!("there is no face {name:?}")).with_hint(
                "faces are a and b (our own), or a file: .glb, .gltf, .npz, or FLAME's .pkl or .pt",
            ));
        }
        let head = open_head(path)?;
        let missing = head.rig.missing();
        let mut notices = Vec::new();
        if !missing.is_empty() {
            notices.push(format!("{name} lacks {} of 52 shapes: {}", missing.len(), missing.join(", ")));
        }
        Ok((Self::Rig(Box::new(head.rig)), notices))
    }

    /// What is drawn.
    pub fn face(&self) -> &dyn Face {
        match self {
            Self::Rig(rig) => rig.as_ref(),
            Self::Flame(face) => face.as_ref(),
        }
    }
}

/// Whether a file is a FLAME model rather than a head: by its ending, and for an archive by what it holds.
fn is_flame(path: &Path) -> Result<bool> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("pkl" | "pt") => Ok(true),
        Some("npz") if path.exists() => Ok(Npz::open(path)?.contains("v_template")),
        _ => Ok(false),
    }
}

/// A face for each participant of a motion.
#[derive(Debug)]
pub struct Cast {
    actors: Vec<Actor>,
    transfer: Option<Transfer>,
    notices: Vec<String>,
}

impl Cast {
    /// A face for each of `participants` by their [names](Actor::open); where there are fewer names, our own head in
    /// its looks by turns.
    ///
    /// # Errors
    /// As [`Actor::open`]; [`Error::Argument`] for more names than participants.
    pub fn open(names: &[impl AsRef<str>], participants: usize) -> Result<Self> {
        if names.len() > participants {
            let what = format!("{} faces for {participants} participants", names.len());
            return Err(
                Error::argument("--face", what).with_hint("name a face for each participant, or fewer")
            );
        }
        let (mut actors, mut notices) = (Vec::new(), Vec::new());
        for participant in 0..participants {
            let own = DefaultLook::of_participant(participant).name();
            let (actor, odd) = Actor::open(names.get(participant).map_or(own, AsRef::as_ref))?;
            actors.push(actor);
            notices.extend(odd);
        }
        Ok(Self { actors, transfer: None, notices })
    }

    /// The same cast with a fit between FLAME and ARKit for motion of the other space than a face's.
    #[must_use]
    pub fn with_transfer(self, transfer: Option<Transfer>) -> Self {
        Self { transfer, ..self }
    }

    /// The faces, in the participants' order.
    pub fn actors(&self) -> &[Actor] {
        &self.actors
    }

    /// The fit between FLAME and ARKit, if there is one.
    pub fn transfer(&self) -> Option<&Transfer> {
        self.transfer.as_ref()
    }

    /// What a user should know about how motion of that space is shown.
    pub fn notices(&self, space: Space) -> Vec<String> {
        let mut notices = self.notices.clone();
        if self.transfer.is_none() && self.actors.iter().any(|actor| actor.face().space() != space) {
            notices.push(
                "without a fit between FLAME and ARKit only head, eyes and jaw are shown: make one with \
                 `unils fit`, and name it with --transfer"
                    .to_owned(),
            );
        }
        notices
    }

    /// Each participant's motion in the space of its face.
    ///
    /// # Errors
    /// [`Error::Motion`] for another number of participants than faces.
    pub fn act(&self, motion: &Motion) -> Result<Vec<Motion>> {
        if motion.participants() != self.actors.len() {
            let what = format!("{} participants for {} faces", motion.participants(), self.actors.len());
            return Err(Error::motion("motion", what));
        }
        let each = self.actors.iter().enumerate();
        each.map(|(participant, actor)| {
            converted(&motion.select(participant)?, actor.face().space(), self.transfer.as_ref())
        })
        .collect()
    }
}

/// Motion in ARKit's space.
pub(super) fn in_arkit(motion: &Motion, transfer: Option<&Transfer>) -> Result<Motion> {
    converted(motion, Space::Arkit55, transfer)
}

fn converted(motion: &Motion, space: Space, transfer: Option<&Transfer>) -> Result<Motion> {
    match (space, transfer) {
        _ if motion.space() == space => Ok(motion.clone()),
        (Space::Arkit55, Some(transfer)) => transfer.arkit_from_flame(motion),
        (Space::Flame108, Some(transfer)) => transfer.flame_from_arkit(motion),
        (_, None) => joints_only(motion, space),
    }
}
