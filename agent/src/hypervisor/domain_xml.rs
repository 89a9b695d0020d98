//! A domain's XML, as libvirt's "Domain XML format" describes it.
//!
//! Every text goes through [`Xml::escape`], whoever it came from.

use std::fmt::Write as _;

use super::DomainSpec;

/// What kind of domain libvirt makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainType {
    Kvm,
    /// QEMU's own emulation.
    Tcg,
    /// Of `test:///`: nothing runs.
    Test,
}

/// Marks our element in a domain's metadata.
pub const NAMESPACE: &str = "https://novacron.dev/domain/1";

/// The XML that `spec` is defined from.
pub fn render(spec: &DomainSpec, domain_type: DomainType) -> String {
    let mut xml = Xml::default();
    xml.open(&format!("domain type='{}'", domain_type.as_str()));
    xml.leaf("uuid", &spec.vm.to_string());
    xml.leaf("name", spec.name.as_str());
    xml.open("metadata");
    xml.open(&format!("novacron:vm xmlns:novacron='{NAMESPACE}'"));
    xml.leaf("novacron:id", &spec.vm.to_string());
    xml.leaf("novacron:revision", &spec.revision.to_string());
    xml.close("novacron:vm");
    xml.close("metadata");
    xml.line(&format!("<memory unit='b'>{}</memory>", spec.memory.0));
    xml.line(&format!("<vcpu placement='static'>{}</vcpu>", spec.cpus));
    render_boot(&mut xml, spec, domain_type);
    xml.line(FEATURES);
    if domain_type == DomainType::Kvm {
        xml.line("<cpu mode='host-model'/>");
    }
    xml.line("<clock offset='utc'/>");
    xml.leaf("on_poweroff", "destroy");
    xml.leaf("on_reboot", "restart");
    xml.leaf("on_crash", "destroy");
    render_devices(&mut xml, spec);
    xml.close("domain");
    xml.text
}

fn render_boot(xml: &mut Xml, spec: &DomainSpec, domain_type: DomainType) {
    xml.open("os");
    match domain_type {
        DomainType::Test => xml.leaf("type", "hvm"),
        DomainType::Kvm | DomainType::Tcg => {
            xml.line(&format!("<type arch='{ARCH}' machine='{MACHINE}'>hvm</type>"));
        }
    }
    match &spec.kernel {
        Some(boot) => {
            xml.leaf("kernel", &boot.kernel.to_string_lossy());
            if let Some(initrd) = &boot.initrd {
                xml.leaf("initrd", &initrd.to_string_lossy());
            }
            xml.leaf("cmdline", &boot.cmdline);
        }
        None => xml.line("<boot dev='hd'/>"),
    }
    xml.close("os");
}

fn render_devices(xml: &mut Xml, spec: &DomainSpec) {
    xml.open("devices");
    if let Some(disk) = &spec.disk {
        xml.open("disk type='file' device='disk'");
        xml.line("<driver name='qemu' type='qcow2' discard='unmap'/>");
        xml.line(&format!("<source file='{}'/>", Xml::escape(&disk.to_string_lossy())));
        xml.line("<target dev='vda' bus='virtio'/>");
        xml.close("disk");
    }
    xml.line("<controller type='usb' model='none'/>");
    if let Some(log) = &spec.console_log {
        xml.open("serial type='pty'");
        xml.line(&format!("<log file='{}' append='on'/>", Xml::escape(&log.to_string_lossy())));
        xml.line("<target port='0'/>");
        xml.close("serial");
    }
    xml.line("<memballoon model='virtio'/>");
    xml.close("devices");
}

#[cfg(target_arch = "aarch64")]
const MACHINE: &str = "virt";
#[cfg(not(target_arch = "aarch64"))]
const MACHINE: &str = "q35";
/// Without ACPI there is no power button.
#[cfg(target_arch = "aarch64")]
const FEATURES: &str = "<features><acpi/></features>";
#[cfg(not(target_arch = "aarch64"))]
const FEATURES: &str = "<features><acpi/><apic/></features>";
const ARCH: &str = std::env::consts::ARCH;

/// Lines of XML, indented.
#[derive(Default)]
struct Xml {
    text: String,
    depth: usize,
}

impl Xml {
    fn open(&mut self, tag: &str) {
        self.line(&format!("<{tag}>"));
        self.depth += 1;
    }

    fn close(&mut self, tag: &str) {
        self.depth -= 1;
        self.line(&format!("</{tag}>"));
    }

    fn leaf(&mut self, tag: &str, text: &str) {
        self.line(&format!("<{tag}>{}</{tag}>", Self::escape(text)));
    }

    fn line(&mut self, line: &str) {
        let width = self.depth * 2;
        writeln!(self.text, "{:width$}{line}", "").expect("writing to a String does not fail");
    }

    /// Text for content and attributes alike. Characters that XML 1.0 cannot carry become U+FFFD.
    fn escape(text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '\'' => out.push_str("&apos;"),
                '"' => out.push_str("&quot;"),
                '\t' | '\n' | '\r' => write!(out, "&#{};", c as u32).expect("a String"),
                '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
                _ => out.push(c),
            }
        }
        out
    }
}

impl DomainType {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "qemu",
            Self::Test => "test",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::KernelBoot;
    use novacron_protocol::{ByteCount, Generation, VcpuCount};

    fn spec() -> DomainSpec {
        DomainSpec {
            vm: "0191e7a0-0000-7000-8000-000000000001".parse().unwrap(),
            name: "web1".parse().unwrap(),
            revision: Generation(7),
            cpus: VcpuCount(2),
            memory: ByteCount::mib(512),
            kernel: None,
            disk: Some("/var/lib/novacron/vms/web1/disk.qcow2".into()),
            console_log: Some("/var/lib/novacron/vms/web1/console.log".into()),
        }
    }

    #[test]
    fn a_disk_boots_by_itself() {
        let xml =
            render(&spec(), DomainType::Kvm).replace(ARCH, "ARCH").replace(MACHINE, "MACHINE");
        insta::assert_snapshot!("disk_boot", xml);
    }

    #[test]
    fn a_kernel_boots_directly() {
        let kernel = KernelBoot {
            kernel: "/images/kernel".into(),
            initrd: Some("/images/initrd".into()),
            cmdline: "console=ttyS0 quiet".to_owned(),
        };
        let spec = DomainSpec { kernel: Some(kernel), disk: None, ..spec() };
        let xml = render(&spec, DomainType::Tcg).replace(ARCH, "ARCH").replace(MACHINE, "MACHINE");
        insta::assert_snapshot!("kernel_boot", xml);
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "'\"/><evil a='&amp;\u{0}\u{b}\n]]>--";
        let kernel = KernelBoot {
            kernel: hostile.into(),
            initrd: Some(hostile.into()),
            cmdline: hostile.to_owned(),
        };
        let spec = DomainSpec {
            kernel: Some(kernel),
            disk: Some(hostile.into()),
            console_log: Some(hostile.into()),
            ..spec()
        };
        let xml = render(&spec, DomainType::Test);
        let plain = render(
            &DomainSpec {
                kernel: Some(KernelBoot {
                    kernel: "x".into(),
                    initrd: Some("x".into()),
                    cmdline: "x".to_owned(),
                }),
                disk: Some("x".into()),
                console_log: Some("x".into()),
                ..self::spec()
            },
            DomainType::Test,
        );
        for special in ['<', '>', '\'', '"'] {
            assert_eq!(xml.matches(special).count(), plain.matches(special).count(), "{special}");
        }
        assert!(!xml.contains('\0') && !xml.contains('\u{b}'));
        assert!(
            xml.contains(
                "&apos;&quot;/&gt;&lt;evil a=&apos;&amp;amp;\u{fffd}\u{fffd}&#10;]]&gt;--"
            )
        );
    }
}
