import { Button, Group, Menu, Modal, Progress, Stack, Text } from '@mantine/core'
import { IconDownload } from '@tabler/icons-react'
import { useRef, useState } from 'react'
import { ProblemNote } from '../../parts/answer'
import type { Filter } from '../../parts/filter'
import { count } from '../../parts/number'
import { When } from '../../parts/time'
import { csvLine } from './csv'
import type { Kind, Listing, Rows } from './kinds'

/** Most rows of one file: it is put together in the browser's memory. */
const mostRows = 500_000

interface Progressed {
  rows: number
  /** at is how far back in time the export has come. */
  at?: string
  state: 'reading' | 'done' | 'full' | 'canceled' | 'failed'
  error?: unknown
}

/** Export writes all that a list finds to a file, page by page, as far as the reader lets it. */
export function Export<K extends Kind>({ kind, listing, filter }: { kind: K; listing: Listing<K>; filter: Filter }) {
  const [progress, setProgress] = useState<Progressed | null>(null)
  const canceled = useRef(false)

  async function run(format: 'csv' | 'json') {
    canceled.current = false
    let rows = 0
    let at: string | undefined
    const parts: string[] = [format === 'csv' ? csvLine(Object.keys(listing.columns)) : '[']
    const columns = Object.values(listing.columns) as ((row: Rows[K]) => string)[]
    setProgress({ rows, state: 'reading' })
    const end = (state: Progressed['state'], error?: unknown) => setProgress({ rows, at, state, error })
    try {
      for (let before: string | undefined; ; ) {
        const page = await listing.read(filter, listing.most, before)
        if (canceled.current) return end('canceled')
        for (const row of page.rows) {
          parts.push(format === 'csv' ? csvLine(columns.map((of) => of(row))) : `${rows > 0 ? ',' : ''}\n${JSON.stringify(row)}`)
          rows += 1
        }
        const last = page.rows[page.rows.length - 1]
        if (last) at = listing.at(last)
        if (!page.next || rows >= mostRows) {
          if (format === 'json') parts.push('\n]\n')
          download(new Blob(parts, { type: format === 'csv' ? 'text/csv' : 'application/json' }), `carom-${kind}-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.${format}`)
          return end(page.next ? 'full' : 'done')
        }
        before = page.next
        setProgress({ rows, at, state: 'reading' })
      }
    } catch (error) {
      end('failed', error)
    }
  }

  const reading = progress?.state === 'reading'
  return (
    <>
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <Button variant="default" size="xs" leftSection={<IconDownload size={14} aria-hidden />}>
            Export
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Label>All {listing.noun} that the filter finds</Menu.Label>
          <Menu.Item onClick={() => void run('csv')}>As CSV, for a spreadsheet</Menu.Item>
          <Menu.Item onClick={() => void run('json')}>As JSON, for a program</Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <Modal opened={progress !== null} onClose={() => { canceled.current = true; setProgress(null) }} title={`Export ${listing.noun}`} closeOnClickOutside={!reading}>
        {progress && (
          <Stack gap="sm">
            <Progress value={share(progress, filter)} animated={reading} striped={reading} aria-label="How much is read" />
            <Text size="sm" role="status" data-export={progress.state}>
              {words(progress, listing.noun)}
            </Text>
            {reading && progress.at && (
              <Text size="xs" c="dimmed">
                Read back to <When at={progress.at} />
              </Text>
            )}
            <ProblemNote error={progress.error} />
            <Group justify="flex-end">
              {reading ? (
                <Button variant="default" onClick={() => (canceled.current = true)}>
                  Cancel
                </Button>
              ) : (
                <Button onClick={() => setProgress(null)}>Close</Button>
              )}
            </Group>
          </Stack>
        )}
      </Modal>
    </>
  )
}

function words(p: Progressed, noun: string): string {
  const rows = `${count(p.rows)} ${noun}`
  switch (p.state) {
    case 'reading':
      return `${rows} read`
    case 'done':
      return `Done: the file has ${rows}.`
    case 'full':
      return `The file has the newest ${rows}, and that is as many as one may have. For what is older, set the end of the time to the last one's.`
    case 'canceled':
      return 'Canceled: no file was made.'
    case 'failed':
      return `Stopped after ${rows}; no file was made.`
  }
}

/** share says how much is read. Nobody knows how many there are, but with a beginning of the time, how far back it is. */
function share(p: Progressed, filter: Filter): number {
  if (p.state === 'done' || p.state === 'full') return 100
  if (!filter.from || !p.at) return p.state === 'reading' ? 100 : 0
  const [first, last] = [new Date(filter.from).getTime(), filter.to ? new Date(filter.to).getTime() : Date.now()]
  return Math.min(100, Math.max(0, (100 * (last - new Date(p.at).getTime())) / Math.max(1, last - first)))
}

function download(blob: Blob, name: string) {
  const url = URL.createObjectURL(blob)
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  // The browser has begun to read it by then; to keep it would keep its memory.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
