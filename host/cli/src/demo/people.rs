//! Believable contacts and companies, the same ones for the same seed.

use fastrand::Rng;
use serde_json::{Map, Value, json};

const FIRST: &[&str] = &[
    "Ada",
    "Aisha",
    "Alejandro",
    "Amara",
    "Anders",
    "Anna",
    "Arjun",
    "Beatriz",
    "Chen",
    "Chiara",
    "Daniel",
    "Darius",
    "Elena",
    "Emeka",
    "Emma",
    "Fatima",
    "Felix",
    "Freya",
    "Gabriel",
    "Grace",
    "Hana",
    "Hugo",
    "Ingrid",
    "Ivan",
    "Jack",
    "Jana",
    "Joao",
    "Julia",
    "Kaito",
    "Karim",
    "Lars",
    "Leila",
    "Linh",
    "Lucia",
    "Maja",
    "Marco",
    "Mei",
    "Mikael",
    "Nadia",
    "Nils",
    "Noor",
    "Oliver",
    "Olga",
    "Paula",
    "Pedro",
    "Priya",
    "Rafael",
    "Rosa",
    "Samir",
    "Sofia",
    "Tariq",
    "Thandiwe",
    "Tomas",
    "Uma",
    "Viktor",
    "Wei",
    "Yara",
    "Zoe",
];
const LAST: &[&str] = &[
    "Abe", "Adeyemi", "Almeida", "Andersen", "Bauer", "Bergman", "Castro", "Chen", "Costa", "Dang",
    "Diaz", "Dubois", "Eriksen", "Evans", "Farouk", "Fischer", "Garcia", "Gupta", "Haddad",
    "Hansen", "Hoffmann", "Ibrahim", "Ito", "Jansen", "Jensen", "Kaya", "Keller", "Khan", "Kim",
    "Kowalski", "Larsen", "Lopez", "Martin", "Mensah", "Meyer", "Moreau", "Mueller", "Nakamura",
    "Ndiaye", "Nguyen", "Novak", "Okafor", "Olsen", "Patel", "Petrov", "Popescu", "Ribeiro",
    "Rossi", "Santos", "Sato", "Schmidt", "Silva", "Singh", "Svensson", "Tanaka", "Torres",
    "Vargas", "Weber", "Wong", "Yilmaz", "Zhang",
];
const TITLES: &[&str] = &[
    "Account Manager",
    "Accountant",
    "Analyst",
    "Architect",
    "Buyer",
    "Consultant",
    "Designer",
    "Director",
    "Engineer",
    "Head of Operations",
    "Logistics Planner",
    "Marketing Lead",
    "Office Manager",
    "Product Manager",
    "Sales Manager",
    "Support Lead",
];
const COMPANY_FIRST: &[&str] = &[
    "Alder",
    "Amber",
    "Arctic",
    "Atlas",
    "Beacon",
    "Birch",
    "Blue Harbor",
    "Cedar",
    "Clearwater",
    "Copper",
    "Delta",
    "Ember",
    "Evergreen",
    "Falcon",
    "Granite",
    "Harbor",
    "Horizon",
    "Iron Bridge",
    "Juniper",
    "Lakeside",
    "Lantern",
    "Maple",
    "Meridian",
    "Northwind",
    "Oak",
    "Orchard",
    "Pioneer",
    "Quarry",
    "River",
    "Sable",
    "Silver",
    "Summit",
    "Tidewater",
    "Upland",
    "Valley",
    "Willow",
];
const COMPANY_LAST: &[&str] = &[
    "Analytics",
    "Bakery",
    "Builders",
    "Energy",
    "Foods",
    "Freight",
    "Furniture",
    "Instruments",
    "Labs",
    "Logistics",
    "Media",
    "Optics",
    "Partners",
    "Pharma",
    "Printing",
    "Robotics",
    "Software",
    "Textiles",
    "Tools",
    "Travel",
];

/// Id and body of the company `number`, from 1. 720 in a row have names of their own.
pub(super) fn company(number: usize) -> (String, Map<String, Value>) {
    // Each round through the first list moves on by 7 x 36 + 1 in the second: all pairs come up.
    let last = pick(COMPANY_LAST, number * 7 + number / COMPANY_FIRST.len());
    let name = format!("{} {last}", pick(COMPANY_FIRST, number));
    let domain = format!("{}.example", name.to_lowercase().replace(' ', "-"));
    (
        format!("com_{number:04}"),
        object(json!({ "name": name, "domain": domain })),
    )
}

/// Id and body of the contact `number`, from 1, who works for one of `companies` companies.
pub(super) fn contact(
    number: usize,
    companies: usize,
    rng: &mut Rng,
) -> (String, Map<String, Value>) {
    let (first, last) = (any(FIRST, rng), any(LAST, rng));
    let (company_id, employer) = company(rng.usize(1..=companies.max(1)));
    let domain = employer
        .get("domain")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let body = object(json!({
        "name": format!("{first} {last}"),
        // The number tells namesakes apart.
        "email": format!("{}.{}{number}@{domain}", first.to_lowercase(), last.to_lowercase()),
        "title": any(TITLES, rng),
        "company_id": company_id,
    }));
    (format!("con_{number:06}"), body)
}

/// A contact gets another job title, a company another name: surely a changed body.
pub(super) fn change(item: &mut Map<String, Value>, rng: &mut Rng) {
    if let Some(Value::String(title)) = item.get_mut("title") {
        let others: Vec<&str> = TITLES
            .iter()
            .copied()
            .filter(|other| other != title)
            .collect();
        *title = any(&others, rng).to_owned();
    } else if let Some(Value::String(name)) = item.get_mut("name") {
        name.push_str(" Group");
    }
}

fn pick<'a>(list: &[&'a str], number: usize) -> &'a str {
    list.get(number % list.len().max(1))
        .copied()
        .unwrap_or_default()
}

fn any<'a>(list: &[&'a str], rng: &mut Rng) -> &'a str {
    pick(list, rng.usize(..))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn companies_have_names_of_their_own() {
        let name = |number| company(number).1["name"].to_string();
        let names: HashSet<String> = (1..=720).map(name).collect();
        assert_eq!(names.len(), 720);
    }

    #[test]
    fn a_change_changes() {
        let mut rng = Rng::with_seed(7);
        for number in 1..200 {
            for (_, mut body) in [contact(number, 9, &mut rng), company(number)] {
                let before = body.clone();
                change(&mut body, &mut rng);
                assert_ne!(body, before);
            }
        }
    }
}
