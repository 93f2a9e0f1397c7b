//! The kernel object, and maps from it: made anew, or a predecessor's taken over after their shapes were compared.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use aya::maps::{Array, Map, MapData, MapInfo};
use aya::{Ebpf, EbpfLoader};
use plnat_common::ABI_VERSION;
use plnat_common::record::Meta;
use tracing::level_filters::LevelFilter;

use super::Options;
use super::bpffs::BpfFs;
use super::error::{OpenError, flat, kernel};
use super::maps::Plain;
use super::shape::{self, MAPS, META, Room, Shape};
use crate::dataplane::Capacity;

static EMBEDDED: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/plnat.o"));

/// A loaded object and the maps that go with it.
pub(super) struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) meta: Meta,
    pub(super) capacity: Capacity,
    /// True when a predecessor's maps were taken over.
    pub(super) taken_over: bool,
}

/// Loads the object with the pinned maps, or with new ones where nothing is pinned.
pub(super) fn load(options: &Options, bpffs: &BpfFs) -> Result<Loaded, OpenError> {
    let object = bytes(options.object.as_deref())?;
    let others =
        bpffs.other_layouts().map_err(|error| OpenError::file_system("cannot list", bpffs.path(), error))?;
    if let Some(found) = others.into_iter().next() {
        return Err(OpenError::OtherLayout { path: bpffs.path().to_owned(), found });
    }
    if bpffs.maps().exists() { take_over(options, bpffs, &object) } else { make(options, &object) }
}

fn bytes(file: Option<&Path>) -> Result<Cow<'static, [u8]>, OpenError> {
    match file {
        Some(path) => fs::read(path)
            .map(Cow::Owned)
            .map_err(|source| OpenError::ObjectFile { path: path.to_owned(), source }),
        None if EMBEDDED.is_empty() => Err(OpenError::NoObject),
        None => Ok(Cow::Borrowed(EMBEDDED)),
    }
}

fn make(options: &Options, object: &[u8]) -> Result<Loaded, OpenError> {
    let wanted = &options.capacity;
    let meta = Meta {
        abi: ABI_VERSION,
        lines: shape::lines(wanted.sessions),
        seed: options.seed,
        store: options.store,
    };
    let room = |map: &Shape| match map.room {
        Room::Set(_, of) => Some(of(wanted)),
        Room::Fixed => None,
    };
    let ebpf = create(object, &meta, options.trace, room, None)?;
    check(&ebpf)?;
    Ok(Loaded { ebpf, meta, capacity: *wanted, taken_over: false })
}

fn take_over(options: &Options, bpffs: &BpfFs, object: &[u8]) -> Result<Loaded, OpenError> {
    let maps = bpffs.maps();
    pinned_size(&maps, &META)?;
    let meta = read_meta(&maps)?;
    if meta.abi != ABI_VERSION {
        return Err(OpenError::OtherLayout { path: bpffs.path().to_owned(), found: meta.abi.to_string() });
    }
    if meta.store != options.store {
        let number = |[high, low]: [u64; 2]| u128::from(high) << 64 | u128::from(low);
        return Err(OpenError::OtherStore {
            path: bpffs.path().to_owned(),
            found: number(meta.store),
            own: number(options.store),
        });
    }
    let mut sizes = Vec::with_capacity(MAPS.len());
    for shape in &MAPS {
        sizes.push((shape.name, pinned_size(&maps, shape)?));
    }
    let size = |name: &str| sizes.iter().find(|(map, _)| *map == name).map_or(0, |&(_, size)| size);
    let capacity = shape::capacity(size);
    for shape in &MAPS {
        if let Room::Set(_, of) = shape.room
            && of(&capacity) != size(shape.name)
        {
            let why =
                format!("it holds {} records and {} go with the other maps", size(shape.name), of(&capacity));
            return Err(unusable(shape, why));
        }
    }
    if meta.lines != shape::lines(capacity.sessions) {
        return Err(unusable(&META, format!("it says {} lines, which SESSIONS has not", meta.lines)));
    }
    if capacity != options.capacity {
        tracing::warn!(
            running = ?capacity, configured = ?options.capacity,
            "the maps keep the capacity that they were made with; `plnatd --reset-dataplane` ends all sessions and makes new ones"
        );
    }
    let ebpf = create(object, &meta, options.trace, |map| Some(size(map.name)), Some(&maps))?;
    check(&ebpf)?;
    Ok(Loaded { ebpf, meta, capacity, taken_over: true })
}

fn create(
    object: &[u8],
    meta: &Meta,
    trace: LevelFilter,
    room: impl Fn(&Shape) -> Option<u32>,
    pins: Option<&Path>,
) -> Result<Ebpf, OpenError> {
    let level = level(trace);
    let paths: Vec<(&str, PathBuf)> =
        pins.map(|pins| MAPS.iter().map(|map| (map.name, pins.join(map.name))).collect()).unwrap_or_default();
    let mut loader = EbpfLoader::new();
    loader.override_global("SEED", &meta.seed, true);
    loader.override_global("LINES", &meta.lines, true);
    loader.override_global(aya_log::LEVEL, &level, true);
    for map in &MAPS {
        if let Some(size) = room(map) {
            loader.map_max_entries(map.name, size);
        }
    }
    for (name, path) in &paths {
        loader.map_pin_path(name, path.as_path());
    }
    Ok(loader.load(object).map_err(|error| kernel("loading the kernel object and its maps", error))?)
}

/// aya-log's number of a level.
fn level(trace: LevelFilter) -> u8 {
    match trace.into_level() {
        None => 0,
        Some(tracing::Level::ERROR) => 1,
        Some(tracing::Level::WARN) => 2,
        Some(tracing::Level::INFO) => 3,
        Some(tracing::Level::DEBUG) => 4,
        Some(tracing::Level::TRACE) => 5,
    }
}

/// Holds every map of a loaded object against the daemon's records.
fn check(ebpf: &Ebpf) -> Result<(), OpenError> {
    for shape in &MAPS {
        let failed = |why| OpenError::Shape {
            place: "the kernel object's map",
            map: shape.name,
            why,
            advice: "the object was built from other sources than this plnatd",
        };
        let map = ebpf.map(shape.name).ok_or_else(|| failed("the object has no such map".into()))?;
        shape.check(&info(map).map_err(failed)?).map_err(failed)?;
    }
    Ok(())
}

fn info(map: &Map) -> Result<MapInfo, String> {
    match map {
        Map::Array(data)
        | Map::PerCpuArray(data)
        | Map::HashMap(data)
        | Map::DevMap(data)
        | Map::LpmTrie(data)
        | Map::RingBuf(data) => data.info().map_err(full_text),
        _ => Err("it is of another kind".into()),
    }
}

fn full_text(error: impl Into<anyhow::Error>) -> String {
    flat(&error.into())
}

/// Number of records of a pinned map, once its shape was found to be right.
fn pinned_size(maps: &Path, shape: &Shape) -> Result<u32, OpenError> {
    let map = MapData::from_pin(maps.join(shape.name)).map_err(|error| unusable(shape, full_text(error)))?;
    let info = map.info().map_err(|error| unusable(shape, full_text(error)))?;
    shape.check(&info).map_err(|why| unusable(shape, why))?;
    Ok(info.max_entries())
}

fn unusable(shape: &Shape, why: String) -> OpenError {
    OpenError::Shape {
        place: "the pinned map",
        map: shape.name,
        why,
        advice: "run the plnatd that made it, or end its sessions with `plnatd --reset-dataplane`",
    }
}

fn pin_meta(meta: &Meta, pin: &Path) -> Result<(), OpenError> {
    let make = || -> anyhow::Result<()> {
        let mut array = Array::<_, Plain<Meta>>::create(1, 0)?;
        array.set(0, Plain(*meta), 0)?;
        Ok(array.pin(pin)?)
    };
    Ok(make().map_err(|error| kernel("making the map META", error))?)
}

fn read_meta(maps: &Path) -> Result<Meta, OpenError> {
    let read = || -> Result<Meta, aya::maps::MapError> {
        let map = Map::from_map_data(MapData::from_pin(maps.join(META.name))?)?;
        Ok(Array::<_, Plain<Meta>>::try_from(map)?.get(&0, 0)?.0)
    };
    Ok(read().map_err(|error| kernel("reading the map META", error))?)
}

/// Pins all maps; they appear at their place all at once.
pub(super) fn pin(ebpf: &Ebpf, meta: &Meta, bpffs: &BpfFs) -> Result<(), OpenError> {
    let unfinished = bpffs.unfinished_maps();
    let failed = |doing| move |error| OpenError::file_system(doing, &bpffs.unfinished_maps(), error);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(failed("cannot remove"))?;
    }
    fs::create_dir(&unfinished).map_err(failed("cannot make"))?;
    pin_meta(meta, &unfinished.join(META.name))?;
    for shape in &MAPS {
        if let Some(map) = ebpf.map(shape.name) {
            map.pin(unfinished.join(shape.name))
                .map_err(|error| kernel(format!("pinning the map {}", shape.name), error))?;
        }
    }
    fs::rename(&unfinished, bpffs.maps()).map_err(failed("cannot rename"))
}
