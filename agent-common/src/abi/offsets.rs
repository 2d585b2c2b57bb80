//! Structures of offsets into those of the kernel, which the loader fills in.

/// A structure of `u32` fields, each [`NO_OFFSET`](super::settings::NO_OFFSET) before the loader has looked.
macro_rules! offsets {
    ($about:literal $name:ident $(#[doc = $doc:literal] $field:ident),+ $(,)?) => {
        #[doc = $about]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(C)]
        pub struct $name {
            $(#[doc = $doc] pub $field: u32,)+
        }

        impl $name {
            /// What the object holds before the loader has looked: nothing is known.
            pub const UNKNOWN: Self = Self { $($field: $crate::abi::settings::NO_OFFSET,)+ };
        }
    };
}
pub(super) use offsets;
