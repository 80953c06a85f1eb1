// The page: what stands in it comes to life.

const tables = new Map();
for (const section of document.querySelectorAll('section.place')) {
  const place = places.get(section.id);
  tables.set(place.place, new FeatureTable(place, section.querySelector('.features')));
  for (const element of section.querySelectorAll('figure')) {
    const figure = place.figures.find((figure) => figure.measure === element.dataset.measure);
    const name = `${place.place}_${figure.measure}_${element.dataset.kind}`;
    if (element.dataset.kind === 'histogram') {
      caption(element, name, () => histogramRows(figure));
    } else {
      const isAlive = figure.area && place.rows.some((row) => valueOf(row, figure.measure) !== null);
      const points = isAlive ? new LivePoints(place, figure, element.querySelector('.plot')) : null;
      caption(element, name, () => scatterRows(place, figure), points?.readout);
    }
  }
}
// Where the window is narrow, figures are wider than what is seen of them.
for (const box of document.querySelectorAll('.plot')) {
  if (box.scrollWidth <= box.clientWidth) continue;
  const name = box.querySelector('svg').getAttribute('aria-label');
  for (const [key, value] of [['tabindex', 0], ['role', 'group'], ['aria-label', name]]) box.setAttribute(key, value);
}

for (const element of document.querySelectorAll('figure[data-kind=profile]')) {
  const { site } = element.dataset;
  caption(element, `${site}_${data.ranking}_layers`, () => profileRows(site));
}

function address() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return '';
  }
}

// #mlp_out.11/54446 leads to a feature, #mlp_out.11 to a place.
async function followAddress() {
  for (const note of document.querySelectorAll('p.absent')) note.remove();
  const [name, digits] = address().split('/');
  const place = places.get(name);
  if (!place || !/^[0-9]+$/.test(digits ?? '')) return;
  const index = Number(digits);
  if (tables.get(name).show(index)) return;
  const section = document.getElementById(name);
  const note = make('p', { 'class': 'absent', role: 'alert' });
  section.querySelector('h2').after(note);
  section.scrollIntoView();
  if (index >= place.count) {
    note.textContent = `${place.place} has ${place.unit}s from 0 to ${place.count - 1}, and no ${index}.`;
    return;
  }
  const value = (await values(place, place.figures[0]))[index];
  note.textContent = `${place.unit} ${index} is not among those listed here: its ${data.ranking} is `
    + `${place.figures[0].step ? 'about ' : ''}${number(Number.isNaN(value) ? null : value)}.`;
}

const theme = document.getElementById('theme');
const isDark = () => (document.documentElement.dataset.theme
  ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
const say = () => { theme.textContent = isDark() ? 'Light' : 'Dark'; };
theme.addEventListener('click', () => {
  document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
  say();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', say);
theme.hidden = false;
say();

addEventListener('hashchange', followAddress);
followAddress();
