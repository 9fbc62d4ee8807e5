//! Pictures of faces: a software renderer, still and moving pictures, plots.
