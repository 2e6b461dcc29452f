import { Table } from '@mantine/core'
import { type ReactNode, useLayoutEffect, useRef } from 'react'

/**
 * Wide holds a table that a phone has no room for. There each row stands as a block, with the title of its column before each cell (style.css);
 * where there is room it is a table like any other, scrolled when it is wider still.
 */
export function Wide({ minWidth, children }: { minWidth: number; children: ReactNode }) {
  const box = useRef<HTMLDivElement>(null)
  useLayoutEffect(() => {
    if (box.current) nameCells(box.current)
  })
  return (
    <Table.ScrollContainer minWidth={minWidth} type="native" className="wide" ref={box}>
      {children}
    </Table.ScrollContainer>
  )
}

/** nameCells writes the titles of the columns to the cells, and says what each element is: as a block it would not be known as a part of a table. */
function nameCells(box: HTMLElement) {
  const titles = [...box.querySelectorAll('thead th, thead td')].map((cell) => cell.textContent ?? '')
  for (const table of box.querySelectorAll('table')) table.role = 'table'
  for (const part of box.querySelectorAll('thead, tbody')) part.role = 'rowgroup'
  for (const row of box.querySelectorAll('tr')) {
    row.role = 'row'
    for (const cell of row.cells) {
      cell.role = cell.tagName === 'TD' ? 'cell' : cell.scope === 'row' ? 'rowheader' : 'columnheader'
      if (row.closest('tbody')) cell.dataset.title = cell.colSpan > 1 ? '' : (titles[cell.cellIndex] ?? '')
    }
  }
}
