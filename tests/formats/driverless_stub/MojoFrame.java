package ai.h2o.mojos.runtime.frame;

import java.util.List;

public class MojoFrame {
    public final List<MojoRowBuilder> rows;
    private final Object[] columns;
    private final String[] names;

    public MojoFrame(List<MojoRowBuilder> rows, Object[] columns, String... names) {
        this.rows = rows;
        this.columns = columns;
        this.names = names;
    }

    public String[] getColumnNames() {
        return names;
    }

    public int getNcols() {
        return columns.length;
    }

    public Object getColumnData(int place) {
        return columns[place];
    }
}
