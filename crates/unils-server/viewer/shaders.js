// The studio as shaders: the lamps, the sky and the tone curve of the software renderer, so that both show one face.

export const DEPTH_VERTEX = `#version 300 es
layout(location = 0) in vec3 position;
uniform mat4 lamp;
void main() { gl_Position = lamp * vec4(position, 1.0); }`;

export const DEPTH_FRAGMENT = `#version 300 es
precision highp float;
void main() {}`;

export const FACE_VERTEX = `#version 300 es
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec3 color;
layout(location = 3) in float openness;
layout(location = 4) in vec2 uv;
uniform mat4 view;
uniform mat4 projection;
out vec3 seen;
out vec3 direction;
out vec3 paint;
out float open;
out vec2 spot;
void main() {
  vec4 place = view * vec4(position, 1.0);
  seen = place.xyz;
  direction = mat3(view) * normal;
  paint = color;
  open = openness;
  spot = uv;
  gl_Position = projection * place;
}`;

export const FACE_FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler2DShadow;
in vec3 seen;
in vec3 direction;
in vec3 paint;
in float open;
in vec2 spot;
uniform vec4 base;
uniform sampler2D picture;
uniform float cutoff; // opacity below which nothing is seen
uniform vec3 surface; // roughness, softness, metallic
uniform mat4 lamp;    // from view space
uniform sampler2DShadow shadows;
uniform float texel;
out vec4 result;

const vec3 KEY = vec3(-0.456435, 0.503951, 0.733261);
const vec3 KEY_COLOR = vec3(1.55, 1.45, 1.32);
const vec3 FILL = vec3(0.754829, 0.053916, 0.653702);
const vec3 FILL_COLOR = vec3(0.22, 0.26, 0.33);
const vec3 RIM_A = vec3(0.664364, 0.442910, -0.602061);
const vec3 RIM_A_COLOR = vec3(1.9, 2.2, 2.6);
const vec3 RIM_B = vec3(-0.813733, 0.271244, -0.514062);
const vec3 RIM_B_COLOR = vec3(1.2, 1.05, 0.9);
const vec3 SKY = vec3(0.27, 0.30, 0.36);
const vec3 GROUND = vec3(0.13, 0.105, 0.09);
const vec3 BLEED = vec3(0.42, 0.20, 0.12);
const float PI = 3.14159265;

float arriving(vec3 normal, float facing, float softness) {
  float away = texel * (1.2 + 2.6 * (1.0 - max(facing, 0.0)));
  vec4 place = lamp * vec4(seen + normal * away, 1.0);
  vec3 at = place.xyz * 0.5 + 0.5;
  vec2 step = 1.3 / vec2(textureSize(shadows, 0));
  float light = 0.0;
  for (int x = -1; x <= 1; x++) for (int y = -1; y <= 1; y++) {
    light += texture(shadows, vec3(at.xy + vec2(x, y) * step, at.z - 0.0008));
  }
  light /= 9.0;
  float through = clamp(0.6 - 4.0 * facing, 0.0, 1.0) * softness;
  return light + (1.0 - light) * through;
}

vec3 wrap(float facing, vec3 reach, float softness) {
  vec3 value = max((facing + reach) / (1.0 + reach), 0.0);
  return value * (1.0 - softness + softness * value) * (1.0 + 0.25 * softness);
}

// Trowbridge-Reitz with Smith's shadowing; x: reflection, y: Schlick's grazing share.
vec2 gloss(vec3 normal, vec3 eye, float facingEye, float alpha2, vec3 lampAt, float facing) {
  if (facing <= 0.0) return vec2(0.0);
  vec3 half_ = normalize(eye + lampAt);
  float h = max(dot(normal, half_), 0.0);
  float d = h * h * (alpha2 - 1.0) + 1.0;
  float distribution = alpha2 / (PI * d * d);
  float visibility = 0.5 / (facing * sqrt(facingEye * facingEye * (1.0 - alpha2) + alpha2)
    + facingEye * sqrt(facing * facing * (1.0 - alpha2) + alpha2) + 1e-5);
  float grazing = 1.0 - max(dot(eye, half_), 0.0);
  float grazing2 = grazing * grazing;
  return vec2(distribution * visibility * facing, grazing2 * grazing2 * grazing);
}

vec3 tone(vec3 light) {
  vec3 x = light * 0.62;
  return (x * (2.51 * x + 0.09)) / (x * (2.43 * x + 0.59) + 0.14);
}

void main() {
  vec4 color = base * texture(picture, spot);
  if (color.a < cutoff) discard;
  vec3 normal = normalize(gl_FrontFacing ? direction : -direction);
  vec3 eye = normalize(-seen);
  float roughness = surface.x, softness = surface.y, metallic = surface.z;
  float facingEye = clamp(dot(normal, eye), 1e-3, 1.0);
  float rough = roughness * roughness;
  float alpha2 = rough * rough;
  float openSky = 0.06 + 0.94 * open;
  float halfOpen = 0.35 + 0.65 * open;
  float up = 0.5 + 0.5 * normal.y;
  float key = dot(normal, KEY), fill = dot(normal, FILL), rimA = dot(normal, RIM_A), rimB = dot(normal, RIM_B);
  float edge = 1.0 - facingEye;
  float rimShare = (0.15 + 0.85 * edge * edge) * halfOpen;
  vec3 albedo = paint * color.rgb;
  vec3 reach = BLEED * softness;
  float hidden = arriving(normal, key, softness);
  vec3 shadow = hidden + (1.0 - hidden) * hidden * reach * 1.6;
  vec3 sky = mix(GROUND, SKY, up);
  vec3 diffuse = KEY_COLOR * wrap(key, reach, softness) * shadow
    + FILL_COLOR * wrap(fill, reach, softness) * halfOpen
    + (RIM_A_COLOR * wrap(rimA, reach, softness) + RIM_B_COLOR * wrap(rimB, reach, softness)) * rimShare
    + sky * openSky;
  vec3 f0 = mix(vec3(0.04), albedo, metallic);
  vec2 k = gloss(normal, eye, facingEye, alpha2, KEY, key);
  vec2 f = gloss(normal, eye, facingEye, alpha2, FILL, fill);
  vec2 a = gloss(normal, eye, facingEye, alpha2, RIM_A, rimA);
  vec2 b = gloss(normal, eye, facingEye, alpha2, RIM_B, rimB);
  float shine = (1.0 - roughness) * (1.0 - roughness);
  vec3 specular = KEY_COLOR * k.x * mix(f0, vec3(1.0), k.y) * shadow
    + FILL_COLOR * f.x * mix(f0, vec3(1.0), f.y) * halfOpen
    + RIM_A_COLOR * a.x * mix(f0, vec3(1.0), a.y) * rimShare
    + RIM_B_COLOR * b.x * mix(f0, vec3(1.0), b.y) * rimShare
    + sky * openSky * (f0 + (1.0 - f0) * pow(edge, 5.0) * shine);
  vec3 light = diffuse * albedo * (1.0 - metallic) * 0.62 + specular;
  vec3 linear = clamp(tone(light), 0.0, 1.0);
  vec3 srgb = mix(linear * 12.92, 1.055 * pow(linear, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, linear));
  result = vec4(srgb, color.a);
}`;

export const WALL_VERTEX = `#version 300 es
out vec2 at;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0;
  at = corner;
  gl_Position = vec4(corner, 0.9999, 1.0);
}`;

export const WALL_FRAGMENT = `#version 300 es
precision highp float;
in vec2 at;
out vec4 result;
void main() {
  float down = ((0.5 - 0.5 * at.y) - 0.42) / 0.58;
  float distance = min(sqrt((at.x * at.x + down * down) * 0.5), 1.0);
  float share = distance * distance * (3.0 - 2.0 * distance);
  float noise = fract(52.98292 * fract(dot(vec2(0.06711056, 0.00583715), gl_FragCoord.xy))) - 0.5;
  vec3 color = mix(vec3(74.0, 80.0, 92.0), vec3(22.0, 24.0, 30.0), share) + noise;
  result = vec4(color / 255.0, 1.0);
}`;
