//! Materials and their pictures, to and from glTF.

use serde_json::{Value, json};

use super::accessor::Numbers;
use super::document::Document;
use super::reader::{Beside, resolve};
use super::schema::Image;
use crate::face::{Material, Texture};
use crate::motion::shorten;
use crate::{Error, Result};

/// The materials written so far: equal ones are written once, and so are equal pictures.
#[derive(Default)]
pub(super) struct Surfaces {
    materials: Vec<(Material, usize)>,
    textures: Vec<(Texture, usize)>,
}

impl Surfaces {
    /// The index of a material in the document.
    pub(super) fn write(
        &mut self,
        document: &mut Document,
        material: &Material,
        has_uvs: bool,
        place: &str,
    ) -> Result<usize> {
        if let Some((_, index)) = self.materials.iter().find(|(known, _)| known == material) {
            return Ok(*index);
        }
        let place = format!("{}, material {:?}", shorten(place), shorten(&material.name));
        let numbers =
            material.color.iter().chain([&material.roughness, &material.metallic, &material.softness]);
        if numbers.clone().any(|value| !(0.0..=1.0).contains(value)) {
            let what = "colour, roughness, metallic and softness are not all from 0 to 1";
            return Err(Error::face(place, what));
        }
        let mut shading = json!({
            "baseColorFactor": material.color,
            "metallicFactor": material.metallic,
            "roughnessFactor": material.roughness,
        });
        if let Some(texture) = &material.texture {
            if !has_uvs {
                return Err(Error::face(place, "has a texture, but the mesh has no texture coordinates"));
            }
            shading["baseColorTexture"] = json!({"index": self.texture(document, texture)});
        }
        let object = json!({
            "name": material.name,
            "pbrMetallicRoughness": shading,
            "doubleSided": material.double_sided,
            "alphaMode": if material.color[3] < 1.0 { "BLEND" } else { "OPAQUE" },
            "extras": {"softness": material.softness},
        });
        let index = document.push("materials", object);
        self.materials.push((material.clone(), index));
        Ok(index)
    }

    fn texture(&mut self, document: &mut Document, texture: &Texture) -> usize {
        if let Some((_, index)) = self.textures.iter().find(|(known, _)| known == texture) {
            return *index;
        }
        let view = document.view(&texture.bytes, None);
        let image: Value = json!({"bufferView": view, "mimeType": texture.mime});
        let image = document.push("images", image);
        let index = document.push("textures", json!({"source": image}));
        self.textures.push((texture.clone(), index));
        index
    }
}

/// The materials of a file.
pub(super) struct Surface<'n> {
    numbers: &'n Numbers<'n>,
    beside: Beside<'n>,
    /// What could not be used, a sentence each.
    pub notes: Vec<String>,
}

impl<'n> Surface<'n> {
    pub(super) fn new(numbers: &'n Numbers<'n>, beside: Beside<'n>) -> Self {
        Self { numbers, beside, notes: Vec::new() }
    }

    /// The material at an index, glTF's default for none.
    pub(super) fn read(&mut self, index: Option<usize>) -> Result<Material> {
        let root = self.numbers.root;
        let plain = super::schema::Material::default();
        let (name, found) = match index {
            None => ("default".to_owned(), &plain),
            Some(index) => {
                let found = root.materials.get(index).ok_or_else(|| {
                    let what = format!("material {index} of {}", root.materials.len());
                    Error::face(self.numbers.place, what)
                })?;
                (found.name.clone().unwrap_or_else(|| format!("material_{index}")), found)
            }
        };
        let shading = &found.pbr_metallic_roughness;
        let limited = |value: f32| if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
        let mut color = shading.base_color_factor.map(limited);
        if found.alpha_mode.as_deref().unwrap_or("OPAQUE") == "OPAQUE" {
            color[3] = 1.0;
        }
        let texture = match &shading.base_color_texture {
            Some(texture) if texture.tex_coord == 0 => self.texture(texture.index, &name)?,
            Some(_) => {
                self.notes.push(format!(
                    "material {:?}: its texture's second coordinates are not used",
                    shorten(&name)
                ));
                None
            }
            None => None,
        };
        let softness = found.extras.get("softness").and_then(Value::as_f64).unwrap_or(0.0);
        Ok(Material {
            name,
            color,
            roughness: limited(shading.roughness_factor),
            metallic: limited(shading.metallic_factor),
            softness: limited(softness as f32),
            double_sided: found.double_sided,
            texture,
        })
    }

    /// A picture, if it is one that can be drawn.
    fn texture(&mut self, index: usize, material: &str) -> Result<Option<Texture>> {
        let root = self.numbers.root;
        let source = root.textures.get(index).and_then(|texture| texture.source);
        let image = source.and_then(|source| root.images.get(source));
        let bytes: Vec<u8> = match image {
            Some(Image { buffer_view: Some(view), .. }) => self.numbers.view(*view)?.0.to_vec(),
            Some(Image { uri: Some(uri), .. }) => resolve(uri, self.numbers.place, self.beside)?,
            _ => Vec::new(),
        };
        // Many materials may name one picture: each has its copy, which counts as what it is.
        self.numbers.spend(bytes.len() / 16)?;
        let mime = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            "image/png"
        } else if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            "image/jpeg"
        } else {
            let what =
                format!("material {:?}: its texture is not PNG or JPEG and is left out", shorten(material));
            self.notes.push(what);
            return Ok(None);
        };
        Ok(Some(Texture { mime: mime.to_owned(), bytes }))
    }
}
