//! One row of DWARF as a rule of ours.

use agent_common::abi::unwind::{
    KIND_RBP, KIND_RSP, RBP_AT_CFA, RBP_AT_RBP, RBP_AT_RSP, RBP_SAME, Rule, SPECIAL_PLT, WideRule,
};
use gimli::{
    CfaRule, EndianSlice, LittleEndian, Register, RegisterRule, UnwindExpression, UnwindSection,
    UnwindTableRow,
};

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Row = UnwindTableRow<usize>;

const RBP: Register = Register(6);
const RSP: Register = Register(7);

/// A rule that fits into a row, or one that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    Narrow(Rule),
    Wide(WideRule),
}

impl Form {
    pub(super) const GAP: Self = Self::Narrow(Rule::GAP);
    pub(super) const END: Self = Self::Narrow(Rule::END);
    pub(super) const SIGNAL: Self = Self::Narrow(Rule::SIGNAL);
    pub(super) const UNSUPPORTED: Self = Self::Narrow(Rule::UNSUPPORTED);
}

/// Where rbp was saved: one of `RBP_*`, and the offset.
type Saved = (u8, i64);

pub(super) fn form<'a, S: UnwindSection<Slice<'a>>>(row: &Row, section: &S, address: Register) -> Form {
    match row.register(address) {
        Some(RegisterRule::Offset(-8)) => {}
        // The outermost frame says that there is no way back.
        Some(RegisterRule::Undefined) | None => return Form::END,
        _ => return Form::UNSUPPORTED,
    }
    let Some(saved) = saved(row.register(RBP).as_ref(), section) else { return Form::UNSUPPORTED };
    match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            base(*register).and_then(|base| direct(base, *offset, saved)).unwrap_or(Form::UNSUPPORTED)
        }
        CfaRule::Expression(expression) => bytes(expression, section)
            .and_then(|bytes| threshold(bytes).or_else(|| indirect(bytes, saved)))
            .unwrap_or(Form::UNSUPPORTED),
    }
}

fn base(register: Register) -> Option<u32> {
    match register {
        RSP => Some(KIND_RSP),
        RBP => Some(KIND_RBP),
        _ => None,
    }
}

fn direct(base: u32, offset: i64, (rbp, rbp_offset): Saved) -> Option<Form> {
    let below = match rbp {
        RBP_SAME => Some(0),
        RBP_AT_CFA if rbp_offset < 0 => rbp_offset.checked_neg(),
        _ => None,
    };
    if let Some(rule) = below.and_then(|below| Rule::narrow(base, offset, below)) {
        return Some(Form::Narrow(rule));
    }
    Some(Form::Wide(WideRule {
        base: base as u8,
        rbp,
        offset: offset.try_into().ok()?,
        rbp_offset: rbp_offset.try_into().ok()?,
        ..WideRule::default()
    }))
}

fn saved<'a, S: UnwindSection<Slice<'a>>>(rule: Option<&RegisterRule<usize>>, section: &S) -> Option<Saved> {
    match rule {
        None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => Some((RBP_SAME, 0)),
        Some(RegisterRule::Offset(offset)) => Some((RBP_AT_CFA, *offset)),
        Some(RegisterRule::Expression(expression)) => {
            let (register, offset, rest) = breg(bytes(expression, section)?)?;
            let at = if register == KIND_RBP { RBP_AT_RBP } else { RBP_AT_RSP };
            rest.is_empty().then_some((at, offset))
        }
        Some(_) => None,
    }
}

fn bytes<'a, S: UnwindSection<Slice<'a>>>(
    expression: &UnwindExpression<usize>,
    section: &S,
) -> Option<&'a [u8]> {
    Some(expression.get(section).ok()?.0.slice())
}

/// What linkers write for a lazy PLT: rsp + 8, and 8 more where `(rip & 15) >= threshold`.
fn threshold(expression: &[u8]) -> Option<Form> {
    match expression {
        // breg7 8, breg16 0, lit15, and, lit<n>, ge, lit3, shl, plus
        [0x77, 8, 0x80, 0, 0x3f, 0x1a, literal @ 0x30..=0x3f, 0x2a, 0x33, 0x24, 0x22] => {
            Some(Form::Narrow(Rule::special(SPECIAL_PLT, u32::from(literal - 0x30))))
        }
        _ => None,
    }
}

/// A word on the stack, and perhaps something added: what realigned and hand-written functions do.
fn indirect(expression: &[u8], (rbp, rbp_offset): Saved) -> Option<Form> {
    const DEREF: u8 = 0x06;
    const PLUS_UCONST: u8 = 0x23;
    let (base, offset, rest) = breg(expression)?;
    let add = match rest {
        [DEREF] => 0,
        [DEREF, PLUS_UCONST, rest @ ..] => {
            let (value, rest) = leb(rest, false)?;
            rest.is_empty().then_some(value)?
        }
        _ => return None,
    };
    Some(Form::Wide(WideRule {
        base: base as u8,
        deref: 1,
        rbp,
        pad: 0,
        offset: offset.try_into().ok()?,
        add: add.try_into().ok()?,
        rbp_offset: rbp_offset.try_into().ok()?,
    }))
}

/// `DW_OP_breg6` or `DW_OP_breg7` with its offset, and what follows.
fn breg(expression: &[u8]) -> Option<(u32, i64, &[u8])> {
    let (op, rest) = expression.split_first()?;
    let base = base(Register(u16::from(op.checked_sub(0x70)?)))?;
    let (offset, rest) = leb(rest, true)?;
    Some((base, offset, rest))
}

/// A LEB128 number of five bytes at most.
fn leb(bytes: &[u8], signed: bool) -> Option<(i64, &[u8])> {
    let mut value = 0_i64;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        value |= i64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let bits = 7 * (at + 1);
            if signed && byte & 0x40 != 0 {
                value -= 1 << bits;
            }
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linkers_plt_is_recognized_with_its_threshold() {
        let plt = [0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];
        assert_eq!(threshold(&plt), Some(Form::Narrow(Rule::special(SPECIAL_PLT, 11))));
        assert_eq!(threshold(&plt[..10]), None);
    }

    #[test]
    fn a_saved_stack_pointer_is_followed() {
        // OpenSSL's assembly: the word at rsp + 264, plus 8.
        let wide = WideRule { base: 0, deref: 1, offset: 264, add: 8, ..WideRule::default() };
        assert_eq!(indirect(&[0x77, 0x88, 0x02, 0x06, 0x23, 8], (RBP_SAME, 0)), Some(Form::Wide(wide)));
        // gcc's realigned main: the word at rbp − 8.
        let wide = WideRule { base: 1, deref: 1, rbp: RBP_AT_RBP, offset: -8, ..WideRule::default() };
        assert_eq!(indirect(&[0x76, 0x78, 0x06], (RBP_AT_RBP, 0)), Some(Form::Wide(wide)));
        assert_eq!(indirect(&[0x7a, 0x78, 0x06], (RBP_SAME, 0)), None);
    }

    #[test]
    fn numbers_that_do_not_end_are_none() {
        assert_eq!(leb(&[0x80; 9], true), None);
        assert_eq!(leb(&[0xff, 0x7f], true), Some((-1, &[][..])));
        assert_eq!(leb(&[0xe5, 0x8e, 0x26, 1], false), Some((624_485, &[1][..])));
    }
}
