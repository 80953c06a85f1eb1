'use strict';
// What a page of grad-report does in the browser. All text of others reaches the page as text nodes and attribute
// values, nothing as markup; nothing is fetched.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const places = new Map(data.places.map((place) => [place.place, place]));
  // Rows begin with rank and index.
  const columns = data.columns.map((column, number) => ({ ...column, at: number + 2 }));
  const columnNamed = new Map(columns.map((column) => [column.name, column]));
  const rowsAtFirst = 20;

  // Elements and text

  // Children that are no nodes are text.
  function make(tag, attributes = {}, ...children) {
    const namespaced = ['svg', 'circle'].includes(tag);
    const element = namespaced
      ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  function button(text, act, attributes = {}) {
    const element = make('button', { type: 'button', ...attributes }, text);
    element.addEventListener('click', act);
    return element;
  }

  // Control characters as their pictures, and those that mark directions and lines as their numbers, as HTML.swift has
  // them.
  function shown(text) {
    return text.replace(
      /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (character) => {
        const code = character.charCodeAt(0);
        if (code < 0x20) return String.fromCharCode(0x2400 + code);
        if (code === 0x7f) return '\u2421';
        return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`;
      });
  }

  // "0.0720", "7.20e−5"
  function number(value, digits = 3) {
    if (value === null || value === undefined) return '–';
    if (value === 0) return '0';
    const [, exponent] = value.toExponential(digits - 1).split('e').map(Number);
    const text = exponent >= -3 && exponent < 5
      ? value.toFixed(Math.max(0, digits - 1 - exponent)) : value.toExponential(digits - 1).replace('e+', 'e');
    return text.replaceAll('-', '−');
  }

  const grouped = (value) => value.toLocaleString('en-US');

  // What is packed, and downloads

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

  // The digits that a float32 has.
  const shortest = (value) => (value === null ? null : Number(value.toPrecision(8)));

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

  // Features

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

  // "0.0720 ± 0.011", "14.2 ± 0.9 %"
  function withError(row, column) {
    const value = row[column.at];
    if (value === null) return '–';
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

  // Contexts

  function loss(attribution) {
    if (!attribution) return '';
    return attribution < 0 ? ' ▼ lowers the loss' : ' ▲ raises the loss';
  }

  function contextItem(context, largest) {
    const token = (text, activation, isPeak) => {
      const strength = largest > 0 && activation ? Math.min(Math.abs(activation) / largest, 1) : 0;
      return make(isPeak ? 'mark' : 'bdi', {
        'class': 'token', dir: isPeak ? 'auto' : null,
        'data-level': strength > 0 ? Math.max(1, Math.ceil(strength * 4)) : null,
        'data-sign': strength > 0 ? (activation < 0 ? 'minus' : 'plus') : null,
        'data-value': activation ? number(activation, 2) : null,
        title: activation ? `activation ${number(activation)}` : null,
      }, shown(text));
    };
    const numbers = ['activation', 'gradient', 'attribution'].filter((name) => context[name] !== undefined)
      .map((name) => `${name} ${number(context[name])}${name === 'attribution' ? loss(context[name]) : ''}`);
    const from = context.quantile === undefined ? `${context.rank}.` : `From part ${context.quantile} of the range:`;
    const before = context.activations_before ?? [];
    const after = context.activations_after ?? [];
    return make('li', {},
      make('p', { 'class': 'where' }, [
        `${from} sample ${grouped(context.sample)}, position ${grouped(context.position)}`, ...numbers].join(' · ')),
      make('p', { 'class': 'text' },
        ...context.before.map((text, index) => token(text, before[index])),
        token(context.token, context.activation ?? context[context.by], true),
        ...context.after.map((text, index) => token(text, after[index]))));
  }

  function contextList(place, all) {
    const magnitudes = all.flatMap((context) => [
      context.activation ?? context[context.by], ...context.activations_before ?? [],
      ...context.activations_after ?? []]).map((value) => Math.abs(value ?? 0));
    const largest = Math.max(...magnitudes);
    const numbers = make('input', { type: 'checkbox' });
    const list = make('ol', { 'class': 'contexts' }, ...all.map((context) => contextItem(context, largest)));
    numbers.addEventListener('change', () => list.classList.toggle('numbers', numbers.checked));
    return [
      make('p', { 'class': 'legend' },
        'Boxed: the position itself. ',
        make('span', { 'class': 'token', 'data-level': 1, 'data-sign': 'plus' }, 'little'), ' to ',
        make('span', { 'class': 'token', 'data-level': 4, 'data-sign': 'plus' }, 'much'),
        ': how strongly it is active; ',
        make('span', { 'class': 'token', 'data-level': 2, 'data-sign': 'minus' }, 'dashed'), ': below 0. ',
        make('label', {}, numbers, ' numbers')),
      list];
  }

  // Tables

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
        button(column.title, () => this.sort(column))));
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

    tableRows(row) {
      const id = `${this.place.place}/${row[1]}`;
      const cells = this.columns.map((column) => (column.isHead
        ? make('th', { scope: 'row' }, make('a', { href: `#${id}` }, String(row[1])))
        : make('td', { 'class': column.isText ? 'words' : null }, column.cell(row))));
      const rows = [make('tr', { id }, ...cells)];
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
      document.getElementById(`${this.place.place}/${row[1]}`).querySelector('button.opens').focus();
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
      const element = document.getElementById(`${this.place.place}/${index}`);
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

  // Figures

  function caption(figure, name, rows, readout = '') {
    const act = async () => download(name, await rows());
    figure.append(
      make('figcaption', {}, button('Data (TSV)', act, { 'aria-label': `Data of ${name} (TSV)` }), readout));
  }

  function histogramRows({ edges, counts }) {
    return [['from', 'to', 'count'], ...counts.map((count, bin) => [edges[bin], edges[bin + 1], count])];
  }

  async function scatterRows(place, figure) {
    const listed = new Map(place.rows.map((row) => [row[1], row]));
    const all = await values(place, figure);
    const error = `${figure.measure}_se`;
    return [
      ['site', 'layer', 'index', figure.measure, error, 'is_rounded'],
      ...all.map((value, index) => {
        const row = listed.get(index);
        if (row) return [place.site, place.layer, index, valueOf(row, figure.measure), valueOf(row, error), 0];
        const isRounded = Boolean(figure.step);
        const text = Number.isNaN(value) ? 'NaN' : String(isRounded ? Number(value.toPrecision(5)) : shortest(value));
        return [place.site, place.layer, index, text, null, isRounded ? 1 : 0];
      })];
  }

  function profileRows(site) {
    return [
      ['site', 'layer', 'minimum', 'lower_quartile', 'median', 'upper_quartile', 'maximum'],
      ...data.places.filter((place) => place.site === site && place.range)
        .map((place) => [place.site, place.layer, ...place.range])];
  }

  // The listed features of a scatter plot, which the pointer and the keys find.
  class LivePoints {
    constructor(place, figure, box) {
      this.place = place;
      this.measure = figure.measure;
      const [x, y, width, height] = figure.area;
      const at = (value, [low, high]) => (value - low) / (high - low);
      const id = `${place.place}-${figure.measure}`;
      this.points = place.rows.flatMap((row) => {
        const value = valueOf(row, figure.measure);
        if (value === null) return [];
        const [cx, cy] = [x + at(row[1], figure.x) * width, y + (1 - at(value, figure.y)) * height];
        const circle = make('circle', {
          cx: cx.toFixed(2), cy: cy.toFixed(2), r: 3.5, role: 'option', id: `point-${id}-${row[1]}`,
          'aria-label': words(place, row, figure.measure), 'aria-selected': 'false',
        });
        return [{ row, cx, cy, circle }];
      });
      const frame = box.querySelector('svg').viewBox.baseVal;
      this.frame = frame;
      this.ring = make('circle', { r: 7, 'class': 'ring', role: 'presentation', visibility: 'hidden' });
      this.svg = make('svg', {
        'class': 'live', viewBox: `0 0 ${frame.width} ${frame.height}`, role: 'listbox', tabindex: 0,
        'aria-label': `The first ${place.unit}s of ${place.place} by ${data.ranking}, ${figure.measure}: arrow keys go `
          + 'from one to the next, Enter leads to its row',
      }, ...this.points.map((point) => point.circle), this.ring);
      this.readout = make('p', { 'class': 'readout' }, 'Point at a ring, or take the arrow keys: its values.');
      box.append(this.svg);
      this.listen();
    }

    listen() {
      this.svg.addEventListener('focus', () => this.choose(this.chosen ?? 0));
      this.svg.addEventListener('keydown', (event) => {
        const last = this.points.length - 1;
        const now = this.chosen ?? 0;
        const next = {
          ArrowRight: Math.min(now + 1, last), ArrowDown: Math.min(now + 1, last), ArrowLeft: Math.max(now - 1, 0),
          ArrowUp: Math.max(now - 1, 0), Home: 0, End: last,
        }[event.key];
        if (next !== undefined) this.choose(next);
        else if (event.key === 'Enter' || event.key === ' ') this.follow();
        else return;
        event.preventDefault();
      });
      this.svg.addEventListener('pointermove', (event) => {
        const near = this.nearest(event);
        if (near !== null) this.choose(near);
      });
      this.svg.addEventListener('click', (event) => {
        const near = this.nearest(event);
        if (near === null) return;
        this.choose(near);
        this.follow();
      });
    }

    nearest(event) {
      const box = this.svg.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width * this.frame.width;
      const y = (event.clientY - box.top) / box.height * this.frame.height;
      let [best, distance] = [null, 16];
      for (const [number, { cx, cy }] of this.points.entries()) {
        const away = Math.hypot(cx - x, cy - y);
        if (away < distance) [best, distance] = [number, away];
      }
      return best;
    }

    choose(number) {
      if (this.chosen !== undefined) this.points[this.chosen].circle.setAttribute('aria-selected', 'false');
      this.chosen = number;
      const { row, cx, cy, circle } = this.points[number];
      circle.setAttribute('aria-selected', 'true');
      this.svg.setAttribute('aria-activedescendant', circle.id);
      this.ring.setAttribute('cx', cx);
      this.ring.setAttribute('cy', cy);
      this.ring.setAttribute('visibility', 'visible');
      this.readout.textContent = words(this.place, row, this.measure);
    }

    follow() {
      location.hash = `#${this.place.place}/${this.points[this.chosen].row[1]}`;
    }
  }

  // The page

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
    for (const [key, value] of [['tabindex', 0], ['role', 'region'], ['aria-label', name]]) box.setAttribute(key, value);
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
})();
