// What is said of a feature.

const valueOf = (row, name) => {
  const column = columnNamed.get(name);
  return column ? row[column.at] : null;
};

// How many standard errors the signed mean is away from 0, of each quantity that has both.
const ratios = columns.filter((column) => column.kind === 'value' && columnNamed.has(`${column.name}_se`))
  .flatMap((column) => {
    const quantity = column.name.match(/^(.*)_mean$/)?.[1];
    const value = (row) => {
      const [mean, error] = [row[column.at], valueOf(row, `${column.name}_se`)];
      return mean === null || !error ? null : Math.fround(Math.abs(mean) / error);
    };
    return quantity ? [{ name: `${quantity}_z`, title: `${quantity}.z`, after: column.name, value }] : [];
  });

// "0.0720 ± 0.011", "14.2 ± 0.9 %", "yes"
function withError(row, column) {
  const value = row[column.at];
  if (value === null) return '–';
  if (column.kind === 'mark') return value ? 'yes' : 'no';
  const error = valueOf(row, `${column.name}_se`);
  const scale = column.kind === 'share' ? 100 : 1;
  const text = number(value * scale) + (error === null ? '' : ` ± ${number(error * scale, 2)}`);
  return column.kind === 'share' ? `${text} %` : text;
}

const labelOf = (place, row) => place.labels[row[1]] ?? '';
const tokensOf = (place, row) => place.tokens[row[1]] ?? [];

// What is said of a feature where it is pointed at.
function words(place, row, measure) {
  const parts = [`${place.unit} ${row[1]}, rank ${grouped(row[0])}`];
  if (labelOf(place, row)) parts.push(shown(labelOf(place, row)));
  for (const name of new Set([measure, data.ranking, 'firing'])) {
    const column = columnNamed.get(name);
    if (column && row[column.at] !== null) parts.push(`${column.title} ${withError(row, column)}`);
  }
  const tokens = tokensOf(place, row).map((token) => `“${shown(token)}”`);
  if (tokens.length) parts.push(tokens.join(' '));
  return parts.join('; ');
}
