//! Values of the contract's types as a guest lays them out, whatever types there are, with a text of the
//! attacker's at any one place of them.

use wit_parser::abi::{FlatTypes, WasmType};
use wit_parser::{Int, Resolve, SizeAlign, Type, TypeDefKind};

/// Where in the guest's memory all of it is: beyond the answer of zeros, and below the room for arguments.
const BASE: usize = 8 << 10;

/// What a type consists of, as far as texts are concerned.
enum Shape {
    Text,
    List(Type),
    Fields(Vec<(String, Type)>),
    Cases(Int, Vec<(String, Option<Type>)>),
    Plain,
}

fn shape(resolve: &Resolve, ty: &Type) -> Shape {
    let id = match ty {
        Type::String => return Shape::Text,
        Type::Id(id) => *id,
        Type::ErrorContext => panic!("how is {ty:?} laid out?"),
        _ => return Shape::Plain,
    };
    let two = |none: (&str, Option<Type>), some: (&str, Option<Type>)| {
        Shape::Cases(Int::U8, vec![(none.0.to_owned(), none.1), (some.0.to_owned(), some.1)])
    };
    match &resolve.types[id].kind {
        TypeDefKind::Type(ty) => shape(resolve, ty),
        TypeDefKind::Record(record) => {
            Shape::Fields(record.fields.iter().map(|field| (field.name.clone(), field.ty)).collect())
        }
        TypeDefKind::Tuple(tuple) => {
            Shape::Fields(tuple.types.iter().enumerate().map(|(i, ty)| (i.to_string(), *ty)).collect())
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter().map(|case| (case.name.clone(), case.ty));
            Shape::Cases(variant.tag(), cases.collect())
        }
        TypeDefKind::Option(some) => two(("none", None), ("some", Some(*some))),
        TypeDefKind::Result(result) => two(("ok", result.ok), ("err", result.err)),
        TypeDefKind::List(element) => Shape::List(*element),
        TypeDefKind::Enum(_) | TypeDefKind::Flags(_) => Shape::Plain,
        other => panic!("how is {} laid out?", other.as_str()),
    }
}

/// The way from a value to a text in it: of each field or case the number, 0 for the element of a list.
pub(crate) type Place = Vec<usize>;

/// All places of a text in the values of a type, each in words, too.
pub(crate) fn places(resolve: &Resolve, ty: &Type) -> Vec<(String, Place)> {
    let within = |name: &str, step: usize, ty: &Type| {
        let inner = places(resolve, ty).into_iter();
        let outer = |(words, place): (String, Place)| {
            (format!(".{name}{words}"), std::iter::once(step).chain(place).collect())
        };
        inner.map(outer).collect::<Vec<_>>()
    };
    match shape(resolve, ty) {
        Shape::Text => vec![(String::new(), Place::new())],
        Shape::List(element) => within("[0]", 0, &element),
        Shape::Fields(fields) => {
            fields.iter().enumerate().flat_map(|(i, (name, ty))| within(name, i, ty)).collect()
        }
        Shape::Cases(_, cases) => {
            let cases = cases.iter().enumerate();
            cases.flat_map(|(i, (name, ty))| ty.map(|ty| within(name, i, &ty)).unwrap_or_default()).collect()
        }
        Shape::Plain => Vec::new(),
    }
}

/// What is in the guest's memory.
pub(crate) struct Memory<'a> {
    resolve: &'a Resolve,
    sizes: SizeAlign,
    bytes: Vec<u8>,
    /// What is at the attacker's place.
    text: &'a [u8],
    /// What is at the others, and in lists of bytes, by the names of what they are.
    others: fn(&str) -> &'static str,
}

impl<'a> Memory<'a> {
    pub(crate) fn new(resolve: &'a Resolve, text: &'a [u8], others: fn(&str) -> &'static str) -> Self {
        let mut sizes = SizeAlign::default();
        sizes.fill(resolve);
        Self { resolve, sizes, bytes: Vec::new(), text, others }
    }

    /// As a module has it.
    pub(crate) fn data(&self) -> String {
        let bytes: String = self.bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!("(data (i32.const {BASE}) \"{bytes}\")")
    }

    fn room(&mut self, size: usize, align: usize) -> usize {
        let start = self.bytes.len().next_multiple_of(align.max(1));
        self.bytes.resize(start + size, 0);
        start + BASE
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at - BASE..][..bytes.len()].copy_from_slice(bytes);
    }

    /// A text, or a list: where it is, and its length.
    fn bytes(&mut self, bytes: &[u8]) -> [usize; 2] {
        let at = self.room(bytes.len(), 1);
        self.write(at, bytes);
        [at, bytes.len()]
    }

    fn text(&mut self, name: &str, place: Option<&[usize]>) -> [usize; 2] {
        match place {
            Some(_) => self.bytes(self.text),
            None => self.bytes((self.others)(name).as_bytes()),
        }
    }

    fn list(&mut self, name: &str, element: &Type, place: Option<&[usize]>) -> [usize; 2] {
        match place {
            _ if *element == Type::U8 => self.bytes((self.others)(name).as_bytes()),
            None => [0, 0],
            Some(_) => [self.stored(name, element, within(place, 0)), 1],
        }
    }

    /// A value in memory: where it is.
    pub(crate) fn stored(&mut self, name: &str, ty: &Type, place: Option<&[usize]>) -> usize {
        let at = self.room(self.sizes.size(ty).size_wasm32(), self.sizes.align(ty).align_wasm32());
        self.store(name, ty, place, at);
        at
    }

    fn store(&mut self, name: &str, ty: &Type, place: Option<&[usize]>, at: usize) {
        match shape(self.resolve, ty) {
            Shape::Text => {
                let text = self.text(name, place);
                self.store_pair(text, at);
            }
            Shape::List(element) => {
                let list = self.list(name, &element, place);
                self.store_pair(list, at);
            }
            Shape::Fields(fields) => self.store_fields(&fields, place, at),
            Shape::Cases(tag, cases) => {
                let case = place.map_or(0, |place| place[0]);
                // Little-endian, and no variant has more than 256 cases.
                self.write(at, &[u8::try_from(case).unwrap()]);
                if let (name, Some(ty)) = &cases[case] {
                    let types = cases.iter().map(|(_, ty)| ty.as_ref());
                    let payload = self.sizes.payload_offset(tag, types).size_wasm32();
                    self.store(name, ty, within(place, case), at + payload);
                }
            }
            Shape::Plain => {}
        }
    }

    fn store_pair(&mut self, pair: [usize; 2], at: usize) {
        for (i, half) in pair.into_iter().enumerate() {
            self.write(at + 4 * i, &u32::try_from(half).unwrap().to_le_bytes());
        }
    }

    fn store_fields(&mut self, fields: &[(String, Type)], place: Option<&[usize]>, at: usize) {
        let offsets = self.sizes.field_offsets(fields.iter().map(|(_, ty)| ty));
        let offsets: Vec<usize> = offsets.into_iter().map(|(offset, _)| offset.size_wasm32()).collect();
        for (i, ((name, ty), offset)) in fields.iter().zip(offsets).enumerate() {
            self.store(name, ty, within(place, i), at + offset);
        }
    }

    /// The parameters of a function that takes them in memory: where they are.
    pub(crate) fn stored_params(&mut self, params: &[(String, Type)], place: &[usize]) -> usize {
        let all = self.sizes.params(params.iter().map(|(_, ty)| ty));
        let at = self.room(all.size.size_wasm32(), all.align.align_wasm32());
        self.store_fields(params, Some(place), at);
        at
    }

    /// A value as the parameters of a core function.
    pub(crate) fn flat(&mut self, name: &str, ty: &Type, place: Option<&[usize]>) -> Vec<usize> {
        match shape(self.resolve, ty) {
            Shape::Text => self.text(name, place).into(),
            Shape::List(element) => self.list(name, &element, place).into(),
            Shape::Fields(fields) => {
                let flat = |(i, (name, ty)): (usize, &(String, Type))| self.flat(name, ty, within(place, i));
                fields.iter().enumerate().flat_map(flat).collect()
            }
            Shape::Cases(_, cases) => {
                let case = place.map_or(0, |place| place[0]);
                let (name, payload) = &cases[case];
                let mut flat = vec![case];
                flat.extend(payload.iter().flat_map(|ty| self.flat(name, ty, within(place, case))));
                flat.resize(self.width(ty), 0);
                flat
            }
            Shape::Plain => vec![0; self.width(ty)],
        }
    }

    /// How many parameters a value is.
    fn width(&self, ty: &Type) -> usize {
        let mut types = [WasmType::I32; 64];
        let mut flat = FlatTypes::new(&mut types);
        assert!(self.resolve.push_flat(ty, &mut flat), "{ty:?}");
        flat.to_vec().len()
    }
}

/// The rest of the way, if this is its first step.
fn within(place: Option<&[usize]>, step: usize) -> Option<&[usize]> {
    let (first, rest) = place?.split_first()?;
    (*first == step).then_some(rest)
}
