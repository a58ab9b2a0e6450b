//! Components that are large inside, written as bytes: their text would be hundreds of megabytes.

use crate::template::Template;

/// Sections of the binary format.
const TYPE: u8 = 1;
const FUNCTION: u8 = 3;
const CODE: u8 = 10;
/// And of a component.
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

const MODULE_HEADER: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT_HEADER: &[u8] = b"\0asm\x0d\0\x01\0";

/// A body without locals that does nothing: so many bytes in all.
pub fn idle(bytes: usize) -> Vec<u8> {
    const NOP: u8 = 0x01;
    const END: u8 = 0x0b;
    let mut body = vec![NOP; bytes];
    body[0] = 0;
    body[bytes - 1] = END;
    body
}

/// A body of so many bytes that is all branches: as slow to compile as code gets.
pub fn branches(bytes: usize) -> Vec<u8> {
    const END: u8 = 0x0b;
    // One local variable; a block that is left if it is 0, and counted in it otherwise.
    const START: &[u8] = &[1, 1, 0x7f];
    const BLOCK: &[u8] = &[
        0x02, 0x40, 0x20, 0, 0x45, 0x0d, 0, 0x20, 0, 0x41, 1, 0x6a, 0x21, 0, END,
    ];
    let blocks = (bytes - START.len() - 1) / BLOCK.len();
    [START, &BLOCK.repeat(blocks), &[END]].concat()
}

/// A body that declares so many local variables and does nothing.
pub fn locals(count: u32) -> Vec<u8> {
    const I32: u8 = 0x7f;
    const END: u8 = 0x0b;
    [&[1][..], &number(count), &[I32, END]].concat()
}

/// A module with so many functions of this body.
pub fn functions(count: u32, body: &[u8]) -> Vec<u8> {
    let bodies = [&number(body.len() as u32)[..], body]
        .concat()
        .repeat(count as usize);
    [
        MODULE_HEADER,
        &types_section(1),
        &section(FUNCTION, &[number(count), vec![0; count as usize]].concat()),
        &section(CODE, &[number(count), bodies].concat()),
    ]
    .concat()
}

/// A module with so many types.
pub fn types(count: u32) -> Vec<u8> {
    [MODULE_HEADER, &types_section(count)].concat()
}

/// An honest component, and these modules with it, which it never uses.
pub fn with_modules(modules: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Template::default().bytes();
    for module in modules {
        bytes.extend(section(CORE_MODULE, module));
    }
    bytes
}

/// An honest component, with components in components in it.
pub fn nested(depth: usize) -> Vec<u8> {
    let mut inner = COMPONENT_HEADER.to_vec();
    for _ in 1..depth {
        inner = [COMPONENT_HEADER, &section(COMPONENT, &inner)].concat();
    }
    [Template::default().bytes(), section(COMPONENT, &inner)].concat()
}

/// Functions without parameters and results.
fn types_section(count: u32) -> Vec<u8> {
    let types = [0x60, 0, 0].repeat(count as usize);
    section(TYPE, &[number(count), types].concat())
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &number(content.len() as u32), content].concat()
}

/// LEB128.
fn number(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
