//! Runs a program as `___bpf_prog_run` of the kernel does after `bpf_convert_filter` (net/core/filter.c), and
//! refuses what `bpf_check_classic` refuses. Written from the documentation (networking/filter.rst), so that it
//! and the program check each other; the real kernel judges both in `tests/netlink`.

use crate::source::netlink::filter::program::*;

/// What the program makes of a message: so many bytes of it are kept.
pub(super) fn run(program: &[Instruction], message: &[u8]) -> u32 {
    let (mut a, mut x, mut memory) = (0_u32, 0_u32, [0_u32; 16]);
    let mut at = 0;
    loop {
        let Instruction {
            code,
            jump_true,
            jump_false,
            k,
        } = program[at];
        at += 1;
        let mut branch = |taken: bool| {
            at += usize::from(if taken { jump_true } else { jump_false });
        };
        // A load beyond the end ends the program with 0.
        let load = |offset: u32, bytes: usize| {
            let offset = offset as usize;
            let value = message.get(offset..offset.checked_add(bytes)?)?;
            Some(
                value
                    .iter()
                    .fold(0, |value, byte| value << 8 | u32::from(*byte)),
            )
        };
        let loaded = match code {
            LOAD_WORD if k == FIND_ATTRIBUTE => Some(find_attribute(message, a, x)),
            LOAD_WORD => load(k, 4),
            LOAD_HALF => load(k, 2),
            LOAD_BYTE => load(k, 1),
            LOAD_WORD_AT_X => load(x + k, 4),
            LOAD_HALF_AT_X => load(x + k, 2),
            LOAD_BYTE_AT_X => load(x + k, 1),
            LOAD_LENGTH => Some(u32::try_from(message.len()).unwrap()),
            LOAD_NUMBER => Some(k),
            MULTIPLY => Some(a.wrapping_mul(k)),
            SHIFT_LEFT => Some(a << k),
            ADD_X => Some(a.wrapping_add(x)),
            SUBTRACT_X => Some(a.wrapping_sub(x)),
            OR_X => Some(a | x),
            LOAD_X_NUMBER => {
                x = k;
                continue;
            }
            LOAD_X_MEMORY => {
                x = memory[k as usize];
                continue;
            }
            COPY_TO_X => {
                x = a;
                continue;
            }
            STORE => {
                memory[k as usize] = a;
                continue;
            }
            JUMP => {
                at += k as usize;
                continue;
            }
            IF_EQUAL => {
                branch(a == k);
                continue;
            }
            IF_EQUAL_X => {
                branch(a == x);
                continue;
            }
            IF_GREATER => {
                branch(a > k);
                continue;
            }
            IF_AT_LEAST => {
                branch(a >= k);
                continue;
            }
            RETURN => return k,
            other => panic!("instruction {other:#x}"),
        };
        match loaded {
            Some(value) => a = value,
            None => return 0,
        }
    }
}

/// `__skb_get_nlattr`, with `nla_find` and `nla_ok` (lib/nlattr.c, include/net/netlink.h).
fn find_attribute(message: &[u8], from: u32, wanted: u32) -> u32 {
    let mut at = from as usize;
    while let Some([l0, l1, t0, t1]) = message.get(at..at + 4) {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let kind = u16::from_ne_bytes([*t0, *t1]) & 0x3fff;
        if length < 4 || length > message.len() - at {
            break;
        }
        if u32::from(kind) == wanted {
            return u32::try_from(at).unwrap();
        }
        at += length.next_multiple_of(4);
    }
    0
}

/// Panics at a program that the kernel would not take.
pub(super) fn check(program: &[Instruction]) {
    assert!(!program.is_empty() && program.len() <= 4096);
    assert_eq!(program.last().unwrap().code, RETURN);
    for (at, it) in program.iter().enumerate() {
        let within = |jump: u32| assert!(at + 1 + (jump as usize) < program.len(), "{at}: {it:?}");
        match it.code {
            JUMP => within(it.k),
            IF_EQUAL | IF_EQUAL_X | IF_GREATER | IF_AT_LEAST => {
                within(it.jump_true.into());
                within(it.jump_false.into());
            }
            STORE | LOAD_X_MEMORY => assert!(it.k < 16),
            SHIFT_LEFT => assert!(it.k < 32),
            _ => {}
        }
    }
}
