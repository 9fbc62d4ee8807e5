//! Which processor computes: parsing, opening and describing devices.
//!
//! The portable CPU device is always there. Others are cargo features of the same program (`cuda`, `vulkan`,
//! `metal`) and chosen at run time.
//!
//! ```
//! use unils::device::DeviceKind;
//! let device: DeviceKind = "cpu".parse()?;
//! device.open()?;
//! # Ok::<(), unils::Error>(())
//! ```

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::nn::cpu;

/// A processor to compute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceKind {
    /// This machine's processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU by index.
    Cuda(usize),
    /// A GPU through Vulkan by index.
    Vulkan(usize),
    /// A GPU through Metal by index.
    Metal(usize),
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Vulkan(index) => write!(f, "vulkan:{index}"),
            Self::Metal(index) => write!(f, "metal:{index}"),
        }
    }
}

impl FromStr for DeviceKind {
    type Err = Error;

    /// `cpu`, `cuda`, `cuda:1`, `vulkan`, `metal` ...
    fn from_str(text: &str) -> Result<Self> {
        let (name, index) = text.split_once(':').unwrap_or((text, "0"));
        let index = index.parse();
        match (name, index) {
            ("cpu", Ok(0)) => Ok(Self::Cpu),
            ("cuda", Ok(index)) => Ok(Self::Cuda(index)),
            ("vulkan", Ok(index)) => Ok(Self::Vulkan(index)),
            ("metal", Ok(index)) => Ok(Self::Metal(index)),
            _ => Err(Error::argument("device", format!("expected cpu, cuda, vulkan or metal, got {text}"))
                .with_hint("a further GPU is chosen by its index: cuda:1")),
        }
    }
}

impl DeviceKind {
    /// Devices that this program was built with.
    pub fn compiled() -> Vec<&'static str> {
        let all = [
            ("cpu", true),
            ("cuda", cfg!(feature = "cuda")),
            ("vulkan", cfg!(feature = "vulkan")),
            ("metal", cfg!(feature = "metal")),
        ];
        all.into_iter().filter(|(_, is_compiled)| *is_compiled).map(|(name, _)| name).collect()
    }

    /// True for the device whose layers may be packed.
    pub fn is_cpu(self) -> bool {
        self == Self::Cpu
    }

    /// Opens the device.
    ///
    /// # Errors
    /// [`Error::Device`] when the program was built without it or the machine has none.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => probe(self, move || Device::cuda(index)),
            #[cfg(feature = "vulkan")]
            Self::Vulkan(index) => probe(self, move || Device::vulkan(gpu(index))),
            #[cfg(feature = "metal")]
            Self::Metal(index) => probe(self, move || Device::metal(gpu(index))),
            #[cfg(not(all(feature = "cuda", feature = "vulkan", feature = "metal")))]
            _ => {
                let name = self.to_string();
                let feature = name.split(':').next().unwrap_or_default();
                let what = format!("this program was built for {}", Self::compiled().join(", "));
                let hint = format!("build it with `--features {feature}`, or use --device cpu");
                Err(Error::device(&name, what).with_hint(hint))
            }
        }
    }
}

#[cfg(any(feature = "vulkan", feature = "metal"))]
fn gpu(index: usize) -> burn::tensor::DeviceKind {
    if index == 0 {
        burn::tensor::DeviceKind::DefaultDevice
    } else {
        burn::tensor::DeviceKind::DiscreteGpu(index)
    }
}

/// Opens a GPU and runs one small operation, so that a missing driver is an error here and not a panic later.
#[cfg(any(feature = "cuda", feature = "vulkan", feature = "metal"))]
fn probe(kind: DeviceKind, open: impl Fn() -> Device) -> Result<Device> {
    use burn::tensor::Tensor;
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let device = open();
        Tensor::<1>::ones([2], &device).into_data();
        device
    }));
    opened.map_err(|_| {
        Error::device(kind, "the driver gave no usable device")
            .with_hint("`unils doctor` shows what was found; --device cpu always works")
    })
}

/// Limits computation on the CPU to `threads` threads; once, before the first model is opened.
///
/// # Errors
/// [`Error::Argument`] for 0 or when computation has begun.
pub fn set_threads(threads: usize) -> Result<()> {
    if threads == 0 {
        return Err(Error::argument("threads", "expected 1 or more, got 0"));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("unils-{i}"));
    pool.build_global().map_err(|error| Error::argument("threads", error))
}

/// Runs work on one of the threads that compute. From elsewhere each parallel operation of it is handed over and waited
/// for, which costs more than a small one takes.
pub fn on_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

/// What the CPU offers.
#[derive(Debug, Clone, Serialize)]
pub struct CpuSummary {
    /// Threads that computation uses.
    pub threads: usize,
    /// Instruction sets that matter here and that the processor has.
    pub instruction_sets: Vec<&'static str>,
    /// The matrix product chosen for them.
    pub matrix_kernel: String,
}

/// Looks at the processor.
pub fn cpu_summary() -> CpuSummary {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    #[cfg(target_arch = "aarch64")]
    let known = [("neon", std::arch::is_aarch64_feature_detected!("neon"))];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let known: [(&str, bool); 0] = [];
    CpuSummary {
        threads: rayon::current_num_threads(),
        instruction_sets: known.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect(),
        matrix_kernel: cpu::kernel_name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in ["cpu", "cuda:0", "cuda:3", "vulkan:0", "metal:1"] {
            assert_eq!(name.parse::<DeviceKind>().unwrap().to_string(), name);
        }
        for bad in ["", "tpu", "cuda:x", "cpu:1"] {
            assert!(matches!(bad.parse::<DeviceKind>(), Err(Error::Argument(_))), "{bad}");
        }
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_device_that_is_not_compiled_in_says_how_to_get_it() {
        let error = DeviceKind::Cuda(0).open().unwrap_err();
        assert!(error.hint().unwrap().contains("--features cuda"), "{error}");
    }
}
