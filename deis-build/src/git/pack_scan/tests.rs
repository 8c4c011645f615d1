use std::io::Read as _;

use flate2::{Compression, read::ZlibEncoder};

use super::*;

const MIB: usize = 1 << 20;

/// A pack made by hand; what it says about objects is true, what they hold is nothing.
struct Pack {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

fn low(bits: usize) -> u8 {
    u8::try_from(bits).unwrap()
}

/// On what an object builds.
enum Base<'a> {
    Whole,
    Offset(usize),
    Id(&'a [u8; 20]),
}

impl Pack {
    fn new() -> Self {
        Self { bytes: b"PACK\0\0\0\x02\0\0\0\0".to_vec(), places: Vec::new() }
    }

    fn head(&mut self, kind: u8, mut size: usize) {
        let mut byte = kind << 4 | low(size & 15);
        size >>= 4;
        while size > 0 {
            self.bytes.push(byte | 0x80);
            byte = low(size & 0x7f);
            size >>= 7;
        }
        self.bytes.push(byte);
    }

    fn data(&mut self, data: &[u8]) {
        ZlibEncoder::new(data, Compression::fast()).read_to_end(&mut self.bytes).unwrap();
    }

    /// An object of `size` bytes; its number.
    fn add(&mut self, base: &Base<'_>, base_size: usize, size: usize) -> usize {
        let place = self.bytes.len();
        self.places.push(place);
        let mut delta = Vec::new();
        for mut number in [base_size, size] {
            while number > 0x7f {
                delta.push(low(number & 0x7f) | 0x80);
                number >>= 7;
            }
            delta.push(low(number));
        }
        match base {
            Base::Whole => {
                self.head(3, size);
                self.data(&vec![0; size]);
            }
            Base::Offset(number) => {
                self.head(6, delta.len());
                let mut distance = place - self.places[*number];
                let mut bytes = vec![low(distance & 0x7f)];
                while distance > 0x7f {
                    distance = (distance >> 7) - 1;
                    bytes.insert(0, low(distance & 0x7f) | 0x80);
                }
                self.bytes.extend(bytes);
                self.data(&delta);
            }
            Base::Id(id) => {
                self.head(7, delta.len());
                self.bytes.extend(*id);
                self.data(&delta);
            }
        }
        self.places.len() - 1
    }

    fn end(mut self) -> Vec<u8> {
        let number = u32::try_from(self.places.len()).unwrap();
        self.bytes[8..12].copy_from_slice(&number.to_be_bytes());
        self.bytes.extend([7; 20]);
        self.bytes
    }
}

/// What a scan says, where one object is there already.
fn scanned(pack: &[u8], limits: &Limits) -> Result<PackCost, String> {
    let mut copy = Vec::new();
    let mut more = pack.to_vec();
    more.extend(b"what comes next");
    let mut input = more.as_slice();
    let here = |id: &oid| id.as_bytes() == [1; 20];
    match scan(&mut input, &mut copy, here, limits, &AtomicBool::new(false)) {
        Ok(_) if copy != pack || input != b"what comes next" => Err("not as it came".to_owned()),
        Ok(cost) => Ok(cost),
        Err(ScanError::Refused(reason)) => Err(reason),
        Err(other) => Err(format!("{other:?}")),
    }
}

/// Mebibytes beyond what the number of objects costs.
fn mebibytes(pack: Pack) -> u64 {
    let objects = pack.places.len() as u64;
    let cost = scanned(&pack.end(), &Limits::default()).unwrap();
    (cost.memory - FIXED - PER_OBJECT * objects) >> 20
}

#[test]
fn bases_that_wait_for_other_deltas_are_counted_and_others_are_not() {
    // One after the other: whatever the length, no more than one base is there at a time.
    let mut chain = Pack::new();
    let mut last = chain.add(&Base::Whole, 0, 20 * MIB);
    for _ in 0..9 {
        last = chain.add(&Base::Offset(last), 20 * MIB, 20 * MIB);
    }
    assert_eq!(mebibytes(chain), 3 * 20);
    // Each base has a delta that goes on and one that waits.
    let mut comb = Pack::new();
    let mut last = comb.add(&Base::Whole, 0, 20 * MIB);
    for _ in 0..9 {
        comb.add(&Base::Offset(last), 20 * MIB, 20 * MIB);
        last = comb.add(&Base::Offset(last), 20 * MIB, 20 * MIB);
    }
    assert_eq!(mebibytes(comb), 9 * 20 + 3 * 20);
    // The same, where the base is one that the repository has.
    let mut outside = Pack::new();
    outside.add(&Base::Id(&[1; 20]), 20 * MIB, 20 * MIB);
    assert_eq!(mebibytes(outside), 3 * 20);
    let mut outside = Pack::new();
    outside.add(&Base::Id(&[1; 20]), 20 * MIB, 20 * MIB);
    outside.add(&Base::Id(&[1; 20]), 20 * MIB, 20 * MIB);
    assert_eq!(mebibytes(outside), 20 + 3 * 20);
    // By ids that are found out late, everything may hang together.
    let mut unknown = Pack::new();
    for id in 2..7 {
        unknown.add(&Base::Id(&[id; 20]), 20 * MIB, 20 * MIB);
    }
    assert_eq!(mebibytes(unknown), 5 * 20 + 3 * 20);
    // Small ones are unpacked by two.
    let mut small = Pack::new();
    small.add(&Base::Whole, 0, MIB);
    assert_eq!(mebibytes(small), 2 * 3);
}

#[test]
fn sizes_that_are_too_large_or_wrong_end_it() {
    let limits = Limits { object_bytes: MIB, unpacked_bytes: 3 << 20, ..Limits::default() };
    let one = |base: &Base<'_>, base_size, size| {
        let mut pack = Pack::new();
        pack.add(&Base::Whole, 0, 10);
        pack.add(base, base_size, size);
        scanned(&pack.end(), &limits)
    };
    assert!(one(&Base::Offset(0), 10, MIB).is_ok());
    for (base_size, size) in [(10, MIB + 1), (MIB + 1, 10), (10, usize::MAX >> 8)] {
        assert_eq!(one(&Base::Offset(0), base_size, size).unwrap_err(), "an object is larger than 1 MiB");
    }
    assert_eq!(one(&Base::Whole, 0, MIB + 1).unwrap_err(), "an object is larger than 1 MiB");
    let mut many = Pack::new();
    for _ in 0..4 {
        many.add(&Base::Whole, 0, MIB);
    }
    assert_eq!(scanned(&many.end(), &limits).unwrap_err(), "the push unpacks to more than 3 MiB");

    let mut good = Pack::new();
    good.add(&Base::Whole, 0, 1000);
    let good = good.end();
    for end in 1..good.len() {
        let cut = scan(&good[..end], io::sink(), |_| false, &limits, &AtomicBool::new(false));
        assert!(matches!(cut, Err(ScanError::Damaged)), "{end}: {cut:?}");
    }
    // An object that says another size than it has; one without a kind; a base that is none.
    let mut longer = Pack::new();
    longer.head(3, 10);
    longer.places.push(12);
    longer.data(&[0; 11]);
    let mut odd = Pack::new();
    odd.head(5, 10);
    odd.places.push(12);
    odd.data(&[0; 10]);
    let mut nowhere = Pack::new();
    nowhere.add(&Base::Whole, 0, 1);
    nowhere.places[0] += 1;
    nowhere.add(&Base::Offset(0), 1, 1);
    for pack in [longer, odd, nowhere] {
        assert_eq!(scanned(&pack.end(), &limits).unwrap_err(), "Damaged");
    }
}
