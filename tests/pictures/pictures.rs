//! Draws the pictures of the documentation with a second program, and looks at the pixels. Browsers are not the only programs
//! that draw them: others have no CSS variables, and would make everything black.

use std::{collections::HashMap, fs, path::Path};

use resvg::{
    tiny_skia::{ColorU8, Pixmap, Transform},
    usvg::{Options, Tree},
};

/// Whether there is a font, too: a bare machine has none, and draws the shapes alone.
fn options() -> (Options<'static>, bool) {
    let mut options = Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_system_fonts();
    // The name that stands behind `sans-serif` differs from machine to machine.
    let families = fonts.faces().filter_map(|face| Some(face.families.first()?.0.clone()));
    let (sans, others): (Vec<_>, Vec<_>) = families.partition(|family| family.ends_with("Sans"));
    let family = sans.into_iter().chain(others).next();
    let has_font = family.is_some();
    if let Some(family) = family {
        fonts.set_sans_serif_family(family);
    }
    (options, has_font)
}

fn draw(picture: &Path, options: &Options<'_>) -> Pixmap {
    let tree = Tree::from_data(&fs::read(picture).unwrap(), options).unwrap();
    let size = tree.size().to_int_size();
    let mut pixels = Pixmap::new(size.width(), size.height()).unwrap();
    resvg::render(&tree, Transform::identity(), &mut pixels.as_mut());
    pixels
}

/// From 0, black, to 255, white.
fn lightness(colour: ColorU8) -> u32 {
    (299 * u32::from(colour.red()) + 587 * u32::from(colour.green()) + 114 * u32::from(colour.blue())) / 1000
}

#[test]
fn every_picture_is_dark_text_and_coloured_shapes_on_a_light_ground() {
    let (options, has_font) = options();
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")).unwrap();
    let pictures =
        files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "svg"));
    let mut drawn = 0;
    for picture in pictures {
        let name = picture.display();
        let pixels = draw(&picture, &options);
        let all = pixels.pixels().len();
        let mut colours: HashMap<_, usize> = HashMap::new();
        let (mut opaque, mut light, mut dark) = (0, 0, 0);
        for pixel in pixels.pixels() {
            let colour = pixel.demultiply();
            *colours.entry((colour.red(), colour.green(), colour.blue())).or_default() += 1;
            opaque += usize::from(colour.alpha() == 255);
            light += usize::from(lightness(colour) > 190);
            dark += usize::from(lightness(colour) < 100);
        }
        // Of 1000 pixels.
        let share = |some: usize| some * 1000 / all;
        let shapes = colours.values().filter(|count| share(**count) >= 1).count();
        assert!(share(opaque) > 990, "{name} has no ground of its own: on a dark page it can't be read");
        assert!(share(light) > 700, "only {} of 1000 pixels of {name} are light", share(light));
        assert!(shapes >= 3, "{name} has only {shapes} colours");
        assert!(!has_font || (5..200).contains(&share(dark)), "{} of 1000 pixels of {name} are dark", share(dark));
        drawn += 1;
    }
    assert!(drawn >= 2, "only {drawn} pictures in docs/");
}
