//! The page: plain ES modules and our head, inside the program.

use unils::face::DEFAULT_HEAD;

/// Path, kind and bytes of each file.
static FILES: &[(&str, &str, &[u8])] = &[
    ("/", HTML, include_bytes!("../viewer/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_bytes!("../viewer/style.css")),
    ("/app.js", SCRIPT, include_bytes!("../viewer/app.js")),
    ("/audio.js", SCRIPT, include_bytes!("../viewer/audio.js")),
    ("/bones.js", SCRIPT, include_bytes!("../viewer/bones.js")),
    ("/capture.js", SCRIPT, include_bytes!("../viewer/capture.js")),
    ("/face.js", SCRIPT, include_bytes!("../viewer/face.js")),
    ("/glb.js", SCRIPT, include_bytes!("../viewer/glb.js")),
    ("/gltf.js", SCRIPT, include_bytes!("../viewer/gltf.js")),
    ("/live.js", SCRIPT, include_bytes!("../viewer/live.js")),
    ("/math.js", SCRIPT, include_bytes!("../viewer/math.js")),
    ("/names.js", SCRIPT, include_bytes!("../viewer/names.js")),
    ("/protocol.js", SCRIPT, include_bytes!("../viewer/protocol.js")),
    ("/record.js", SCRIPT, include_bytes!("../viewer/record.js")),
    ("/render.js", SCRIPT, include_bytes!("../viewer/render.js")),
    ("/shaders.js", SCRIPT, include_bytes!("../viewer/shaders.js")),
    ("/tell.js", SCRIPT, include_bytes!("../viewer/tell.js")),
    ("/timeline.js", SCRIPT, include_bytes!("../viewer/timeline.js")),
    ("/icon.svg", "image/svg+xml", include_bytes!("../viewer/icon.svg")),
];

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The file of a path: its kind and bytes.
pub(crate) fn file(path: &str) -> Option<(&'static str, &'static [u8])> {
    if path == "/head.glb" {
        return Some(("model/gltf-binary", DEFAULT_HEAD));
    }
    FILES.iter().find(|(known, _, _)| *known == path).map(|&(_, kind, bytes)| (kind, bytes))
}
