// What the page knows, and what it unpacks and hands out. All text of others reaches the page as text nodes and
// attribute values, nothing as markup; nothing is fetched. ReportPage.swift puts these files into one function.

const data = JSON.parse(document.getElementById('data').textContent);
const places = new Map(data.places.map((place) => [place.place, place]));
// Rows begin with rank and index.
const columns = data.columns.map((column, number) => ({ ...column, at: number + 2 }));
const columnNamed = new Map(columns.map((column) => [column.name, column]));
const rowsAtFirst = 20;

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (digit) => digit.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
}

const contextsOf = new Map();
function contexts(place) {
  if (!contextsOf.has(place.place)) {
    contextsOf.set(
      place.place, unpacked(`contexts-${place.place}`).then((bytes) => JSON.parse(new TextDecoder().decode(bytes))));
  }
  return contextsOf.get(place.place);
}

// All values behind a scatter plot, NaN where there is none.
async function values(place, figure) {
  const bytes = await unpacked(`values-${place.place}-${figure.measure}`);
  if (!figure.step) return [...new Float32Array(bytes)];
  const [low, size] = figure.step;
  return Array.from(new Uint8Array(bytes), (steps) => (steps === 255 ? NaN : low + size * steps));
}

// The fewest digits that read back as the same float32.
function shortest(value) {
  if (value === null) return null;
  const digits = [6, 7, 8, 9].find((digits) => Math.fround(Number(value.toPrecision(digits))) === value);
  return Number(value.toPrecision(digits ?? 9));
}

function cell(value) {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? shown(value) : String(value);
}

function download(name, rows) {
  const text = rows.map((row) => `${row.map(cell).join('\t')}\n`).join('');
  const address = URL.createObjectURL(new Blob([text], { type: 'text/tab-separated-values' }));
  make('a', { href: address, download: `${name}.tsv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
