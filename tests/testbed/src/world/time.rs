//! Moves a world to the present.
//!
//! In: a world. Out: the same, every time moved by the same amount, so that every age stays. Never
//! changes a text that only contains a time.

use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::World;

impl World {
    /// Makes `takenAt` the present and moves every time of the Kubernetes objects and of the
    /// Compute resources by as much.
    ///
    /// Times keep their form: whole seconds or fractions, UTC or an offset.
    pub fn shift_to_now(&mut self) {
        self.shift_to(Timestamp::now());
    }

    /// Makes `takenAt` the second of `now`.
    pub fn shift_to(&mut self, now: Timestamp) {
        // Whole seconds, so that times without fractions keep their distances exactly.
        let distance = SignedDuration::from_secs(now.as_second() - self.meta.taken_at.as_second());
        self.meta.taken_at = now_plus(self.meta.taken_at, distance);
        for object in &mut self.objects {
            shift(object, distance);
        }
        if let Some(compute) = &mut self.compute {
            compute.resources.values_mut().for_each(|resource| shift(resource, distance));
        }
    }
}

fn now_plus(time: Timestamp, distance: SignedDuration) -> Timestamp {
    time.checked_add(distance).unwrap_or(time)
}

fn shift(value: &mut Value, distance: SignedDuration) {
    match value {
        Value::String(text) => {
            if let Some(moved) = shifted(text, distance) {
                *text = moved;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shift(item, distance)),
        Value::Object(fields) => fields.values_mut().for_each(|field| shift(field, distance)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The same form, another time; `None` when the text is no RFC 3339 time.
fn shifted(text: &str, distance: SignedDuration) -> Option<String> {
    let (digits, zone) = parts(text)?;
    let time = text.parse::<Timestamp>().ok()?.checked_add(distance).ok()?;
    let offset = offset(zone)?;
    let local = offset.to_datetime(time);
    let mut moved = local.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    if digits > 0 {
        let nanoseconds = format!("{:09}", local.subsec_nanosecond());
        moved.push('.');
        moved.push_str(nanoseconds.get(..digits)?);
    }
    moved.push_str(zone);
    Some(moved)
}

/// The number of digits of the fraction, and the zone.
fn parts(text: &str) -> Option<(usize, &str)> {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let head = text.as_bytes().get(..FORM.len())?;
    let fits = head.iter().zip(FORM).all(|(byte, form)| if *form == b'd' { byte.is_ascii_digit() } else { byte == form });
    if !fits {
        return None;
    }
    let rest = text.get(FORM.len()..)?;
    let (digits, zone) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            (digits, fraction.get(digits..)?)
        }
    };
    (digits <= 9 && (digits > 0 || zone == rest)).then_some((digits, zone))
}

fn offset(zone: &str) -> Option<Offset> {
    if zone == "Z" {
        return Some(Offset::UTC);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    Offset::from_seconds(sign * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn moved(text: &str, seconds: i64) -> Option<String> {
        shifted(text, SignedDuration::from_secs(seconds))
    }

    #[test]
    fn times_keep_their_form() {
        assert_eq!(moved("2026-11-05T23:59:59Z", 1).unwrap(), "2026-11-06T00:00:00Z");
        assert_eq!(moved("2026-10-27T13:50:51.418223Z", -51).unwrap(), "2026-10-27T13:50:00.418223Z");
        assert_eq!(moved("2026-10-27T13:50:51.000000Z", 9).unwrap(), "2026-10-27T13:51:00.000000Z");
        assert_eq!(moved("2026-04-19T05:51:11.948-08:00", 86400).unwrap(), "2026-04-20T05:51:11.948-08:00");
        assert_eq!(moved("2026-02-28T23:00:00+05:30", 7200).unwrap(), "2026-03-01T01:00:00+05:30");
    }

    #[test]
    fn other_texts_are_left_alone() {
        for text in [
            "",
            "v1",
            "2026-11-05",
            "2026-11-05T13:50Z",
            "at 2026-11-05T13:50:51Z",
            "2026-11-05T13:50:51Z.",
            "2026-11-05T13:50:51.Z",
        ] {
            assert_eq!(moved(text, 60), None, "{text}");
        }
    }

    #[test]
    fn every_age_stays() {
        let mut world = World::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shop")).unwrap();
        let age = |world: &World| {
            let created: Timestamp =
                world.of_kind("Ingress").next().unwrap()["metadata"]["creationTimestamp"].as_str().unwrap().parse().unwrap();
            world.meta.taken_at.duration_since(created)
        };
        let before = age(&world);
        world.shift_to_now();
        assert_eq!(age(&world), before);
        assert!(Timestamp::now().duration_since(world.meta.taken_at) < SignedDuration::from_secs(5));
    }
}
