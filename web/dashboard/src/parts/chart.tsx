import { BarChart, LineChart } from '@mantine/charts'
import { Box, Card, Group, SegmentedControl, Table, Text, VisuallyHidden } from '@mantine/core'
import { type ReactNode, useId, useState } from 'react'
import { count } from './number'
import { utc } from './time'

/** A Series is one line or one colour of bars. Its key names the numbers in the rows. */
export interface Series {
  key: string
  label: string
  color: string
  /** dashed marks what is compared with, such as yesterday. */
  dashed?: boolean
}

/** A Row has a place on the axis and a number for each series; undefined where nothing is known, such as hours that have not come. */
export type ChartRow = { x: string } & Record<string, number | string | undefined>

/**
 * Chart draws rows with axes, units and tooltips, and shows the same numbers as a table to whoever prefers one. x of a row is a moment when times
 * is given, and is then written in the viewer's own time zone.
 */
export function Chart(props: {
  title: string
  unit: string
  rows: ChartRow[]
  series: Series[]
  kind?: 'line' | 'bar'
  stacked?: boolean
  times?: 'hour' | 'day' | 'minute'
  format?: (value: number) => string
  height?: number
  headline?: ReactNode
  link?: (row: ChartRow) => ReactNode
}) {
  const { rows, series, unit, format = count, height = 180, times } = props
  const [as, setAs] = useState('chart')
  const id = useId()
  const label = (x: string) => (times ? axisTime(x, times) : x)
  const shared = {
    h: height,
    data: rows,
    dataKey: 'x',
    valueFormatter: format,
    withLegend: series.length > 1,
    withTooltip: true,
    tooltipAnimationDuration: 0,
    xAxisProps: { tickFormatter: label, minTickGap: 24 },
    yAxisProps: { width: 56, tickFormatter: (v: number) => format(v) },
    yAxisLabel: unit,
    tooltipProps: { labelFormatter: (x: unknown) => (times && x ? `${label(String(x))} (${utc(String(x))})` : String(x ?? '')) },
    'aria-hidden': true,
  } as const
  return (
    <Card withBorder padding="sm" component="section" aria-labelledby={id}>
      <Group justify="space-between" wrap="nowrap" mb={4} align="flex-start">
        <div>
          <Text id={id} fw={600} size="sm">
            {props.title}
          </Text>
          {props.headline}
        </div>
        <SegmentedControl
          size="xs"
          style={{ flexShrink: 0 }}
          value={as}
          onChange={setAs}
          data={[{ label: 'Chart', value: 'chart' }, { label: 'Table', value: 'table' }]}
          aria-label={`${props.title}: show as`}
        />
      </Group>
      {as === 'chart' ? (
        <Box>
          {props.kind === 'bar' ? (
            <BarChart {...shared} barChartProps={mute} type={props.stacked ? 'stacked' : 'default'} series={series.map((s) => ({ name: s.key, label: s.label, color: s.color }))} />
          ) : (
            <LineChart
              {...shared}
              lineChartProps={mute}
              curveType="linear"
              withDots={false}
              series={series.map((s) => ({ name: s.key, label: s.label, color: s.color, strokeDasharray: s.dashed ? '4 4' : undefined }))}
            />
          )}
          <VisuallyHidden>The same numbers are shown as a table by the control above.</VisuallyHidden>
        </Box>
      ) : (
        <Table.ScrollContainer minWidth={260} mah={height * 2}>
          <Table striped stickyHeader>
            <caption>
              <VisuallyHidden>
                {props.title}, {unit}
              </VisuallyHidden>
            </caption>
            <Table.Thead>
              <Table.Tr>
                <Table.Th scope="col">{times ? 'Time' : ''}</Table.Th>
                {series.map((s) => (
                  <Table.Th key={s.key} scope="col" ta="right">
                    {s.label}
                  </Table.Th>
                ))}
                {props.link && <Table.Th scope="col" />}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {rows.map((row) => (
                <Table.Tr key={row.x}>
                  <Table.Th scope="row" title={times ? utc(row.x) : undefined}>
                    {label(row.x)}
                  </Table.Th>
                  {series.map((s) => (
                    <Table.Td key={s.key} ta="right">
                      {typeof row[s.key] === 'number' ? format(row[s.key] as number) : '–'}
                    </Table.Td>
                  ))}
                  {props.link && <Table.Td>{props.link(row)}</Table.Td>}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
    </Card>
  )
}

// The drawing is hidden from those who hear the page, so nothing in it may take the focus: the table has its numbers.
const mute = { accessibilityLayer: false }

const hours = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const days = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' })

function axisTime(x: string, times: 'hour' | 'day' | 'minute'): string {
  return (times === 'day' ? days : hours).format(new Date(x))
}
