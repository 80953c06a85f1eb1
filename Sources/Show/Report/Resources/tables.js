// Tables of features.

class FeatureTable {
  constructor(place, box) {
    this.place = place;
    this.limit = rowsAtFirst;
    this.open = new Set();
    this.columns = this.tableColumns();
    this.sorted = { column: this.columns[0], isDescending: false };
    this.build(box);
    this.fill();
  }

  tableColumns() {
    const { place } = this;
    const all = [
      { title: 'rank', value: (row) => row[0], cell: (row) => grouped(row[0]) },
      { title: place.unit, value: (row) => row[1], isHead: true },
    ];
    const texts = Object.keys(place.contexts).length > 0;
    if (texts || place.neuronpedia) {
      all.push({
        title: texts ? 'texts' : 'link', value: (row) => -(place.contexts[row[1]] ?? 0), cell: (row) => this.more(row),
      });
    }
    if (Object.keys(place.labels).length) {
      all.push({
        title: 'label', isText: true, value: (row) => labelOf(place, row),
        cell: (row) => make('bdi', {}, shown(labelOf(place, row))),
      });
    }
    if (texts) {
      all.push({
        title: 'tokens', isText: true, value: (row) => tokensOf(place, row).join(' '),
        cell: (row) => make('span', {}, ...tokensOf(place, row).flatMap(
          (token) => [make('bdi', { 'class': 'token' }, shown(token)), ' '])),
      });
    }
    // What ranks comes first.
    const isFirst = (column) => (column.name === data.ranking ? 0 : 1);
    for (const column of columns.toSorted((a, b) => isFirst(a) - isFirst(b))) {
      if (column.kind === 'error' || place.rows.every((row) => row[column.at] === null)) continue;
      all.push({
        title: column.title, value: (row) => row[column.at], isMagnitude: true,
        cell: (row) => withError(row, column),
      });
      for (const ratio of ratios.filter((ratio) => ratio.after === column.name)) {
        all.push({ ...ratio, isMagnitude: true, cell: (row) => number(ratio.value(row), 2) });
      }
    }
    return all;
  }

  build(box) {
    const { place } = this;
    this.filter = make('input', { type: 'search', autocomplete: 'off', spellcheck: 'false' });
    this.filter.addEventListener('input', () => this.fill());
    this.status = make('p', { role: 'status' });
    this.all = button('', () => {
      this.limit = Infinity;
      this.fill();
    });
    this.body = make('tbody');
    this.heads = this.columns.map((column) => make('th', { scope: 'col', 'class': column.isText ? 'words' : null },
      this.head(column)));
    const hint = Object.keys(place.tokens).length ? 'number, label or token' : 'number or label';
    box.replaceChildren(
      make('div', { 'class': 'controls' },
        make('label', {}, `Filter by ${hint} `, this.filter), this.status,
        button('Table (TSV)', () => this.download()),
        ...Object.keys(place.contexts).length ? [button('Texts (TSV)', () => downloadContexts(place))] : []),
      make('div', { 'class': 'scroll', tabindex: 0, role: 'region', 'aria-label': `Features of ${place.place}` },
        make('table', {},
          make('caption', { 'class': 'unseen' }, `The first of ${place.place}`),
          make('thead', {}, make('tr', {}, ...this.heads)), this.body)),
      this.all);
  }

  // A title may be broken behind its dot.
  head(column) {
    const head = button('', () => this.sort(column));
    const [first, ...rest] = column.title.split('.');
    head.append(first, ...rest.flatMap((part) => ['.', make('wbr'), part]));
    return head;
  }

  sort(column) {
    const isSame = this.sorted.column === column;
    // Numbers begin with the largest magnitude, ranks and words with the first.
    this.sorted = { column, isDescending: isSame ? !this.sorted.isDescending : Boolean(column.isMagnitude) };
    this.fill();
  }

  rows() {
    const { column, isDescending } = this.sorted;
    const wanted = this.filter.value.trim().toLowerCase();
    const matches = (row) => !wanted || String(row[1]).startsWith(wanted)
      || labelOf(this.place, row).toLowerCase().includes(wanted)
      || tokensOf(this.place, row).some((token) => shown(token).toLowerCase().includes(wanted));
    const key = (row) => {
      const value = column.value(row);
      return column.isMagnitude && value !== null ? Math.abs(value) : value;
    };
    const sign = isDescending ? -1 : 1;
    return this.place.rows.filter(matches).sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === y || (x === null && y === null)) return a[0] - b[0];
      // What is missing comes last, whatever the order.
      if (x === null || x === '') return 1;
      if (y === null || y === '') return -1;
      return sign * (column.isText ? x.localeCompare(y) : x - y);
    });
  }

  fill() {
    const rows = this.rows();
    const visible = rows.slice(0, this.limit);
    this.body.replaceChildren(...visible.flatMap((row) => this.tableRows(row)));
    for (const [number, column] of this.columns.entries()) {
      const order = column !== this.sorted.column ? 'none' : this.sorted.isDescending ? 'descending' : 'ascending';
      this.heads[number].setAttribute('aria-sort', order);
    }
    this.status.textContent = `${grouped(visible.length)} of ${grouped(rows.length)} rows`
      + (rows.length < this.place.rows.length ? `, ${grouped(this.place.rows.length)} without the filter` : '');
    this.all.hidden = visible.length === rows.length;
    this.all.textContent = `Show all ${grouped(rows.length)}`;
  }

  // Not what stands in addresses: the browser would go there itself, and take the focus away again.
  rowName(index) {
    return `row-${this.place.place}/${index}`;
  }

  tableRows(row) {
    const cells = this.columns.map((column) => (column.isHead
      ? make('th', { scope: 'row' }, make('a', { href: `#${this.place.place}/${row[1]}` }, String(row[1])))
      : make('td', { 'class': column.isText ? 'words' : null }, column.cell(row))));
    const rows = [make('tr', { id: this.rowName(row[1]) }, ...cells)];
    if (this.open.has(row[1])) rows.push(this.contextRow(row));
    return rows;
  }

  more(row) {
    const { place } = this;
    const cell = make('span');
    const count = place.contexts[row[1]];
    if (count) {
      cell.append(button(`${count} text${count === 1 ? '' : 's'}`, () => this.toggle(row), {
        'aria-expanded': this.open.has(row[1]), 'aria-label': `${count} texts of ${place.unit} ${row[1]}`,
        'class': 'opens',
      }), ' ');
    }
    if (place.neuronpedia) {
      cell.append(make('a', {
        href: place.neuronpedia + row[1], rel: 'noopener noreferrer', target: '_blank',
        'aria-label': `${place.unit} ${row[1]} on Neuronpedia`,
      }, 'Neuronpedia'));
    }
    return cell;
  }

  contextRow(row) {
    const box = make('div', { 'class': 'inview' }, 'Unpacking …');
    contexts(this.place).then((all) => box.replaceChildren(...contextList(this.place, all[row[1]])), () => {
      box.replaceChildren('This browser cannot unpack the texts: it needs to be of 2023 or later.');
    });
    return make('tr', { 'class': 'texts' }, make('td', { colspan: this.columns.length }, box));
  }

  toggle(row) {
    if (!this.open.delete(row[1])) this.open.add(row[1]);
    this.fill();
    document.getElementById(this.rowName(row[1])).querySelector('button.opens').focus();
  }

  // The row of a feature, open and in view; false where it is not listed.
  show(index) {
    const row = this.place.rows.find((row) => row[1] === index);
    if (!row) return false;
    const isThere = () => this.rows().indexOf(row);
    if (isThere() < 0) this.filter.value = '';
    if (isThere() >= this.limit) this.limit = Infinity;
    if (this.place.contexts[index]) this.open.add(index);
    this.fill();
    for (const other of document.querySelectorAll('tr.pointed')) other.classList.remove('pointed');
    const element = document.getElementById(this.rowName(index));
    element.classList.add('pointed');
    element.scrollIntoView({ block: 'center' });
    element.querySelector('a').focus({ preventScroll: true });
    return true;
  }

  download() {
    const { place } = this;
    const known = [
      ...columns.map((column) => ({ name: column.name, value: (row) => row[column.at] })),
      ...ratios.map(({ name, value }) => ({ name, value: (row) => shortest(value(row)) }))];
    const names = ['site', 'layer', 'index', 'rank', 'label', ...known.map((column) => column.name)];
    const rows = this.rows().map((row) => [
      place.site, place.layer, row[1], row[0], labelOf(place, row), ...known.map((column) => column.value(row))]);
    download(`${place.place}_table`, [names, ...rows]);
  }
}

async function downloadContexts(place) {
  const all = await contexts(place);
  const names = ['site', 'layer', 'index', 'rank', 'by', 'quantile', 'sample', 'position', 'activation', 'gradient',
    'attribution', 'before', 'token', 'after'];
  const rows = Object.entries(all).flatMap(([index, list]) => list.map((context) => [
    place.site, place.layer, index, context.rank, context.by, context.quantile, context.sample, context.position,
    context.activation, context.gradient, context.attribution, context.before.join(''), context.token,
    context.after.join('')]));
  download(`${place.place}_texts`, [names, ...rows]);
}
