//! The machine: memory modules, buses, heat, devices.

use agent_common::wire::finding::Class as Finding;

use super::super::class::{Class, kernel};
use crate::Severity;

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "memory-uncorrected",
        severity: Severity::Critical,
        doc: "A memory module returned wrong data that ECC could not repair. The line names the module: replace it.",
        explains: &[Finding::HostMemory, Finding::ProcessChurn],
        rules: &[kernel("EDAC ", r"^EDAC (?P<module>MC[0-9]+): [0-9]+ UE ")],
        examples: &[
            (
                "EDAC MC0: 1 UE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x12 offset:0x0 grain:32)",
                "module MC0",
            ),
            (
                "EDAC MC1: 2 UE on mc#1csrow#0channel#0 (csrow:0 channel:0 page:0x1 offset:0x0 grain:64)",
                "module MC1",
            ),
        ],
        near: &["EDAC MC0: Giving out device to module skx_edac controller", "EDAC MC: Ver: 3.0.0"],
    },
    Class {
        name: "memory-corrected",
        severity: Severity::Warning,
        doc: "ECC repaired wrong data of a memory module. Single ones are normal; many of one module announce its end.",
        explains: &[Finding::HostMemory],
        rules: &[kernel("EDAC ", r"^EDAC (?P<module>MC[0-9]+): [0-9]+ CE ")],
        examples: &[
            (
                "EDAC MC0: 1 CE memory read error on CPU_SrcID#0_Ha#0_Chan#0_DIMM#1 (channel:0 slot:1 page:0x1 offset:0x0 grain:32 syndrome:0x0)",
                "module MC0",
            ),
            (
                "EDAC MC2: 12 CE on mc#2csrow#3channel#0 (csrow:3 channel:0 page:0x1 offset:0x0 grain:8 syndrome:0xd)",
                "module MC2",
            ),
        ],
        near: &["EDAC sbridge: CE counting is on"],
    },
    Class {
        name: "machine-check",
        severity: Severity::Critical,
        doc: "The CPU or firmware reported a hardware error: cache, memory controller, bus. `rasdaemon` or `mcelog` decode it. A \
              corrected one is a warning of what may come.",
        explains: &[Finding::HostCpu, Finding::HostMemory],
        rules: &[
            kernel(
                "achine ",
                r"^mce: \[Hardware Error\]: (?:CPU (?P<cpu>[0-9]+): Machine Check|Machine check events logged|Machine check: )",
            ),
            kernel(
                "[Hardware Error]: ",
                r"^(?:\{[0-9]+\})?\[Hardware Error\]: (?:Hardware error from APEI|CPU:(?P<cpu>[0-9]+) |event severity: (?:fatal|recoverable)|(?:Corrected|Deferred|Uncorrected)[a-z, ]* error)",
            ),
        ],
        examples: &[
            ("mce: [Hardware Error]: Machine check events logged", "host"),
            ("mce: [Hardware Error]: CPU 3: Machine Check: 0 Bank 5: be00000000800400", "cpu 3"),
            ("{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 1", "host"),
            ("[Hardware Error]: Corrected error, no action required.", "host"),
            (
                "[Hardware Error]: CPU:2 (17:31:0) MC15_STATUS[Over|CE|MiscV|-|-|-|-|SyndV|-]: 0xd82000000002080b",
                "cpu 2",
            ),
        ],
        near: &["mce: CPU supports 20 MCE banks", "mce: [Hardware Error]: TSC 0 ADDR 12 MISC 34"],
    },
    Class {
        name: "pcie-error",
        severity: Severity::Error,
        doc: "A PCIe device or its slot reported errors of the link. Corrected ones cost time; others reset the device. Reseat it, \
              look at the slot and at power saving (`pcie_aspm=off`).",
        explains: &[Finding::HostNetwork, Finding::DiskRead, Finding::DiskWrite],
        rules: &[
            kernel(
                "PCIe Bus Error: ",
                r"^(?:[a-z0-9_-]+ )?(?P<device>[0-9a-f:]+\.[0-7]): PCIe Bus Error: severity=",
            ),
            kernel(
                "AER: ",
                r"^(?:[a-z0-9_-]+ )?(?P<device>[0-9a-f:]+\.[0-7]): AER: (?:(?:Multiple )?(?:Corrected|Uncorrect(?:ed|able)|Correctable)|\[?can't recover|aer_status)",
            ),
        ],
        examples: &[
            (
                "pcieport 0000:00:1c.5: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)",
                "device 0000:00:1c.5",
            ),
            ("pcieport 0000:00:1c.5: AER: Corrected error received: 0000:00:1c.5", "device 0000:00:1c.5"),
            (
                "pcieport 0000:00:01.1: AER: Multiple Uncorrectable (Non-Fatal) error message received from 0000:01:00.0",
                "device 0000:00:01.1",
            ),
        ],
        near: &[
            "pcieport 0000:00:1c.5: AER: enabled with IRQ 122",
            "pcieport 0000:00:1c.5: PME: Signaling with IRQ 122",
        ],
    },
    Class {
        name: "overheated",
        severity: Severity::Warning,
        doc: "A CPU passed its temperature limit and is clocked down. All on it is slower: see to fans, filters and load.",
        explains: &[Finding::HostCpu, Finding::CpuUser, Finding::CpuKernel],
        rules: &[
            kernel(
                "temperature above threshold",
                r"^(?:mce: )?CPU(?P<cpu>[0-9]+): (?:Core|Package) temperature above threshold",
            ),
            kernel(
                "critical temperature reached",
                r"^thermal (?P<device>[a-z0-9_]+): .*critical temperature reached",
            ),
        ],
        examples: &[
            ("mce: CPU3: Core temperature above threshold, cpu clock throttled (total events = 1)", "cpu 3"),
            ("CPU0: Package temperature above threshold, cpu clock throttled (total events = 219)", "cpu 0"),
            (
                "thermal thermal_zone0: acpitz: critical temperature reached, shutting down",
                "device thermal_zone0",
            ),
        ],
        near: &["mce: CPU3: Core temperature/speed normal"],
    },
    Class {
        name: "usb-disconnected",
        severity: Severity::Info,
        doc: "A USB device went away: pulled, out of power, or reset. If it was a disk or a network adapter, see what else failed.",
        explains: &[Finding::DiskRead, Finding::DiskWrite, Finding::HostNetwork],
        rules: &[kernel(
            "USB disconnect",
            r"^usb (?P<device>[0-9.-]+): USB disconnect, device number [0-9]+",
        )],
        examples: &[
            ("usb 1-1: USB disconnect, device number 5", "device 1-1"),
            ("usb 2-1.4: USB disconnect, device number 12", "device 2-1.4"),
        ],
        near: &["usb 1-1: new high-speed USB device number 5 using xhci_hcd"],
    },
    Class {
        name: "usb-error",
        severity: Severity::Warning,
        doc: "A USB device does not answer or cannot be set up: cable, hub, power.",
        explains: &[Finding::DiskRead, Finding::DiskWrite],
        rules: &[
            kernel(
                "device descriptor read",
                r"^usb (?P<device>[0-9.-]+): device descriptor read/[a-z0-9]+, error -[0-9]+",
            ),
            kernel(
                "not accepting address",
                r"^usb (?P<device>[0-9.-]+): device not accepting address [0-9]+, error -[0-9]+",
            ),
            kernel("over-current", r"^(?:usb|hub) (?P<device>[a-z0-9.:-]+): over-current c"),
            kernel("unable to enumerate", r"^usb (?P<device>[a-z0-9.-]+): unable to enumerate USB device"),
        ],
        examples: &[
            ("usb 1-3: device descriptor read/64, error -71", "device 1-3"),
            ("usb 1-3: device not accepting address 7, error -62", "device 1-3"),
            ("usb 2-1-port2: over-current condition", "device 2-1-port2"),
            ("usb usb1-port3: unable to enumerate USB device", "device usb1-port3"),
        ],
        near: &["usb 1-3: New USB device strings: Mfr=1, Product=2, SerialNumber=3"],
    },
    Class {
        name: "gpu-failed",
        severity: Severity::Error,
        doc: "A graphics or compute processor hung, reset, or reported an error (NVIDIA's Xid says which). Work on it is lost.",
        explains: &[Finding::Hang, Finding::ProcessChurn],
        rules: &[
            kernel("Xid (", r"^NVRM: Xid \((?:PCI:)?(?P<device>[0-9a-f:.]+)\): [0-9]+,"),
            kernel("GPU HANG", r"^(?:i915|xe) (?P<device>[0-9a-f:.]+): (?:\[drm\] )?GPU HANG: "),
            kernel(
                "amdgpu",
                r"^(?:amdgpu|\[drm\]) ?(?P<device>[0-9a-f:.]+)?: ?(?:amdgpu: )?(?:\[drm\] )?(?:\*ERROR\* )?ring [a-z0-9_.]+ timeout",
            ),
        ],
        examples: &[
            (
                "NVRM: Xid (PCI:0000:01:00): 79, pid=812, name=python3, GPU has fallen off the bus.",
                "device 0000:01:00",
            ),
            ("i915 0000:00:02.0: [drm] GPU HANG: ecode 9:1:85dffffb, in Xorg [812]", "device 0000:00:02.0"),
            (
                "amdgpu 0000:0c:00.0: amdgpu: ring gfx_0.0.0 timeout, signaled seq=12, emitted seq=14",
                "device 0000:0c:00.0",
            ),
        ],
        near: &[
            "NVRM: loading NVIDIA UNIX x86_64 Kernel Module",
            "i915 0000:00:02.0: [drm] VT-d active for gfx access",
        ],
    },
    Class {
        name: "firmware-missing",
        severity: Severity::Warning,
        doc: "A driver did not get its firmware: the device does not work, or not fully. Install the firmware package.",
        explains: &[],
        rules: &[kernel(
            "Direct firmware load",
            r"^[a-z0-9_-]+ (?P<device>[^ ]+): Direct firmware load for [^ ]+ failed with error -[0-9]+",
        )],
        examples: &[
            (
                "iwlwifi 0000:02:00.0: Direct firmware load for iwlwifi-ty-a0-gf-a0-59.ucode failed with error -2",
                "device 0000:02:00.0",
            ),
            (
                "r8169 0000:03:00.0: Direct firmware load for rtl_nic/rtl8168h-2.fw failed with error -2",
                "device 0000:03:00.0",
            ),
        ],
        near: &["iwlwifi 0000:02:00.0: loaded firmware version 59"],
    },
];
